"""What deploy/k8s makes of an overlay, and what its network policies let through."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

K8S = Path(__file__).parents[2] / "deploy" / "k8s"
OVERLAYS = ("small", "production")
COMPONENT = "app.kubernetes.io/component"
OWN = ("migrate", "web", "replies", "celery", "beat", "backup")

Resource = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """What ``kubectl kustomize`` makes of an overlay."""

    resources: list[Resource]

    def of_kind(self, *kinds: str) -> list[Resource]:
        return [found for found in self.resources if found["kind"] in kinds]

    def one(self, kind: str, name: str) -> Resource:
        (found,) = (found for found in self.of_kind(kind) if found["metadata"]["name"] == name)
        return found

    @property
    def pods(self) -> dict[str, Resource]:
        """What pods are made from, by component."""
        makers = self.of_kind("Deployment", "StatefulSet", "Job")
        return {found["metadata"]["labels"][COMPONENT]: found["spec"]["template"] for found in makers} | {
            found["metadata"]["labels"][COMPONENT]: found["spec"]["jobTemplate"]["spec"]["template"]
            for found in self.of_kind("CronJob")
        }

    def container(self, component: str) -> Resource:
        (found,) = self.pods[component]["spec"]["containers"]
        return dict(found)

    def ports(self, component: str) -> dict[str, int]:
        """By name."""
        return {port["name"]: port["containerPort"] for port in self.container(component).get("ports", [])}

    def may_reach(self, sender: str, receiver: str, port: int) -> bool:
        """Whether policies let a pod of one component connect to a pod of another."""
        ours = self._allows("Egress", sender, receiver, port, names=self.ports(receiver))
        return ours and self._allows("Ingress", receiver, sender, port, names=self.ports(receiver))

    def may_reach_address(self, sender: str, port: int) -> bool:
        """Whether policies let a component connect to that port of some address outside the cluster."""
        for policy in self._policies("Egress", sender):
            for rule in policy["spec"].get("egress", []):
                peers = rule.get("to")
                if _has_port(rule, port, {}) and (peers is None or any("ipBlock" in peer for peer in peers)):
                    return True
        return False

    def _policies(self, direction: str, component: str) -> list[Resource]:
        labels = {COMPONENT: component, "app.kubernetes.io/name": "nono"}
        found = [
            policy
            for policy in self.of_kind("NetworkPolicy")
            if direction in policy["spec"]["policyTypes"] and matches(policy["spec"]["podSelector"], labels)
        ]
        assert found, f"{component} has no policy of {direction}: everything is let through"
        return found

    def _allows(self, direction: str, mine: str, other: str, port: int, *, names: dict[str, int]) -> bool:
        way, peers_of = ("egress", "to") if direction == "Egress" else ("ingress", "from")
        labels = {COMPONENT: other, "app.kubernetes.io/name": "nono"}
        for policy in self._policies(direction, mine):
            for rule in policy["spec"].get(way, []):
                peers = rule.get(peers_of)
                is_peer = peers is None or any(
                    "podSelector" in peer and "namespaceSelector" not in peer and matches(peer["podSelector"], labels)
                    for peer in peers
                )
                if is_peer and _has_port(rule, port, names):
                    return True
        return False


def render(overlay: str) -> Rendered:
    """The overlay of that name."""
    return render_folder(K8S / "overlays" / overlay)


def render_folder(folder: Path) -> Rendered:
    """Raises CalledProcessError, with kustomize's words in ``stderr``, where it cannot be."""
    command = [Path(sys.executable).parent / "kubectl", "kustomize", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Rendered([found for found in yaml.safe_load_all(done.stdout) if found])


def matches(selector: Resource, labels: dict[str, str]) -> bool:
    """Whether a label selector, of equalities and ``In``, selects what has those labels; an empty one selects all."""
    wanted = selector.get("matchLabels", {})
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return all(labels.get(name) == value for name, value in wanted.items())


def _has_port(rule: Resource, port: int, names: dict[str, int]) -> bool:
    if "ports" not in rule:
        return True
    return any(names.get(known["port"], known["port"]) == port for known in rule["ports"])
