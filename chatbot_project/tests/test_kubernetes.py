"""deploy/k8s: what it is made into is what Kubernetes takes, runs what docker-compose.yml runs, and is closed but where
something must flow."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands, load_command_class

from chatbot_project.lib.metrics import names
from chatbot_project.lib.metrics.registry import DESCRIBED
from chatbot_project.management.commands import runweb
from chatbot_project.tests.cluster import COMPONENT, K8S, OVERLAYS, OWN, Rendered, matches, render, render_folder
from chatbot_project.tests.documents import commands_in

ROOT = Path(settings.BASE_DIR)
TOLD_BY = {"nono-web": names.WEB, "nono-replies": names.WORKER, "nono-celery": names.CELERY}
GUIDE = (ROOT / "docs" / "deploy-kubernetes.md").read_text()
#: What its sections tell to run, by heading.
GUIDED = {
    section.partition("\n")[0]: [command.plain for command in commands_in("docs/deploy-kubernetes.md", section)]
    for section in GUIDE.split("\n## ")[1:]
}
#: Kinds that others than Kubernetes define, of which there is no schema here.
FOREIGN = {"PodMonitor"}


@pytest.fixture(scope="module", params=OVERLAYS)
def cluster(request: pytest.FixtureRequest) -> Rendered:
    return render(request.param)


@pytest.fixture(scope="module")
def production() -> Rendered:
    return render("production")


@pytest.fixture(scope="module")
def small() -> Rendered:
    return render("small")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


@pytest.mark.parametrize("version", ["1.32", "1.37"])
def test_kubernetes_takes_every_resource(cluster: Rendered, version: str) -> None:
    for resource in cluster.resources:
        if resource["kind"] not in FOREIGN:
            kubernetes_validate.validate(resource, version, strict=True)


def test_every_patch_changes_something(cluster: Rendered) -> None:
    # A patch whose target there is not is left out without a word.
    there = {(found["kind"], found["metadata"]["name"]) for found in cluster.resources}
    kustomizations = [K8S / "base", *(K8S / "components").iterdir()]
    for folder in kustomizations:
        kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
        is_used = folder.name == "base" or any(
            (found["kind"], found["metadata"]["name"]) in there
            for name in kustomization["resources"]
            for found in yaml.safe_load_all((folder / name).read_text())
        )
        for patch in kustomization.get("patches", []) if is_used else []:
            assert _targets(patch["target"], there), f"{folder.name}: {patch['target']}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_patch_of_an_overlay_changes_something(overlay: str) -> None:
    there = {(found["kind"], found["metadata"]["name"]) for found in render(overlay).resources}
    for patch in yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())["patches"]:
        assert _targets(patch["target"], there), patch["target"]


def _targets(target: dict[str, str], there: set[tuple[str, str]]) -> bool:
    kind, name = target["kind"], target.get("name", ".*")
    return any(re.fullmatch(kind, found[0]) and re.fullmatch(name, found[1]) for found in there)


def test_processes_are_those_of_compose(cluster: Rendered, services: dict[str, Any]) -> None:
    assert set(OWN) <= set(cluster.pods)
    for component in OWN:
        if component != "backup":
            assert cluster.container(component)["command"] == shlex.split(services[component]["command"]), component
    volumes = {entry.partition(":")[2] for entry in services["web"]["volumes"]}
    assert volumes <= {mount["mountPath"] for mount in cluster.container("backup")["volumeMounts"]}
    assert volumes - {"/data/backups"} <= {mount["mountPath"] for mount in cluster.container("web")["volumeMounts"]}


def test_commands_take_the_options_that_they_are_given(cluster: Rendered) -> None:
    for component in OWN:
        match cluster.container(component)["command"]:
            case ["python", "manage.py", name, *options]:
                parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
                parser.parse_args(options)  # ends the test where it does not know one


def test_postgresql_and_redis_are_those_of_compose(small: Rendered, services: dict[str, Any]) -> None:
    for name in ("postgres", "redis"):
        container = small.container(name)
        command = [*container.get("command", []), *container.get("args", [])]
        assert command == shlex.split(services[name]["command"].replace("$$", "$")), name
        assert container["image"] == services[name]["image"]


def test_settings_are_those_of_compose(cluster: Rendered, services: dict[str, Any]) -> None:
    given = _settings_of(cluster)
    for name, value in services["web"]["environment"].items():
        if name not in {"DATABASE_URL", "REDIS_URL"}:
            assert given[name] == value
    assert given["BASE_URL"] == f"https://{given['ALLOWED_HOSTS']}"
    (rule,) = cluster.one("Ingress", "nono")["spec"]["rules"]
    (tls,) = cluster.one("Ingress", "nono")["spec"]["tls"]
    assert [rule["host"]] == tls["hosts"] == [given["ALLOWED_HOSTS"]]


def test_every_variable_is_one_that_settings_read(cluster: Rendered) -> None:
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z0-9_]+)"', (ROOT / "chatbot_project" / "settings.py").read_text()))
    named = set(_settings_of(cluster))
    for component in OWN:
        named |= {entry["name"] for entry in cluster.container(component).get("env", []) if "value" in entry}
    assert len(read) > 100
    assert named <= read


def test_secrets_are_named_and_never_given(cluster: Rendered) -> None:
    assert not cluster.of_kind("Secret")
    command = ["sh", "deploy/new_env.sh", "chat.example.org"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for component, pod in cluster.pods.items():
        for container in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]):
            for entry in container.get("env", []):
                if "valueFrom" in entry:
                    assert entry["valueFrom"]["secretKeyRef"]["name"] == "nono-secrets"
                    assert f"\n{entry['valueFrom']['secretKeyRef']['key']}=" in made, component


def test_a_password_is_there_before_the_address_that_holds_it(small: Rendered) -> None:
    for component in OWN:
        entries = small.container(component)["env"]
        for place, entry in enumerate(entries):
            wanted = re.findall(r"\$\((\w+)\)", entry.get("value", ""))
            assert set(wanted) <= {before["name"] for before in entries[:place]}, component


def test_every_pod_is_read_only_unprivileged_bounded_and_without_a_token(cluster: Rendered) -> None:
    for component, template in cluster.pods.items():
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False, component
        assert pod["enableServiceLinks"] is False, component
        assert pod["securityContext"]["runAsNonRoot"] is True, component
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, component
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            least = container["securityContext"]
            assert least["readOnlyRootFilesystem"] is True, component
            assert least["allowPrivilegeEscalation"] is False, component
            assert least["capabilities"] == {"drop": ["ALL"]}, component
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), component
            assert {"cpu", "memory"} <= set(container["resources"]["limits"]), component
            assert not container["image"].endswith(":latest"), component
            assert ":" in container["image"], component


def test_what_goes_on_is_looked_at_while_it_starts_serves_and_lives(cluster: Rendered) -> None:
    for deployment in cluster.of_kind("Deployment", "StatefulSet"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), deployment["metadata"]["name"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if get := container[probe].get("httpGet"):
                assert get["port"] in {port["name"] for port in container["ports"]}
                assert get["path"] == "/healthz"


def test_no_process_starts_before_the_tables_are_this_versions_and_erasures_are_done_again(cluster: Rendered) -> None:
    for deployment in cluster.of_kind("Deployment"):
        (first,) = deployment["spec"]["template"]["spec"]["initContainers"]
        assert "manage.py migrate --check" in first["command"][-1]
        assert "manage.py replay_erasures --check" in first["command"][-1]
        assert first["image"] == deployment["spec"]["template"]["spec"]["containers"][0]["image"]


def test_a_deployment_has_not_failed_while_migrations_may_still_run(cluster: Rendered) -> None:
    """Nor while its init container waits for its next try, or its containers start."""
    migrating = cluster.one("Job", "nono-migrate")["spec"]["activeDeadlineSeconds"]
    for deployment in cluster.of_kind("Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        starting = container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]
        assert deployment["spec"]["progressDeadlineSeconds"] > migrating + 300 + starting


def test_processes_are_given_the_time_that_they_drain_in(cluster: Rendered) -> None:
    web = cluster.pods["web"]["spec"]
    leaving = cluster.container("web")["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert web["terminationGracePeriodSeconds"] >= leaving + runweb.DRAIN_SECONDS + runweb.CLOSE_SECONDS + 5
    assert cluster.pods["replies"]["spec"]["terminationGracePeriodSeconds"] >= settings.REPLY_DRAIN_SECONDS + 10
    assert cluster.pods["celery"]["spec"]["terminationGracePeriodSeconds"] >= 60


def test_a_new_version_comes_before_the_old_one_goes_and_there_is_one_beat(cluster: Rendered) -> None:
    for component in ("web", "replies", "celery"):
        strategy = cluster.one("Deployment", f"nono-{component}")["spec"]["strategy"]
        assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    beat = cluster.one("Deployment", "nono-beat")["spec"]
    assert (beat["replicas"], beat["strategy"]) == (1, {"type": "Recreate"})


def test_celery_workers_are_new_before_anybody_sends_them_what_is_new(cluster: Rendered) -> None:
    """An old one throws away what it does not know. The guide applies all but three components first, and waits, and
    goes no further where that fails."""
    _delete, first, _wait, until, second = GUIDED["Upgrade"][0].split(" && ")
    everything, _, selector = first.partition(" -l ")
    assert everything == second
    left_out = re.fullmatch(rf"'{re.escape(COMPONENT)} notin \((.+)\)'", selector)
    assert left_out
    assert set(left_out[1].split(", ")) == set(cluster.pods) - {"celery", "migrate", "backup", "postgres", "redis"}
    assert until.endswith(" deployment/nono-celery")


def test_a_changed_setting_changes_the_job_which_the_guide_deletes_first(tmp_path: Path) -> None:
    info, debug = (overlay_with(tmp_path / level, f"LOG_LEVEL={level}") for level in ("INFO", "DEBUG"))
    assert info.one("Job", "nono-migrate")["spec"] != debug.one("Job", "nono-migrate")["spec"]
    assert GUIDED["Upgrade"][0].startswith("kubectl -n nono delete job nono-migrate --ignore-not-found && ")


def overlay_with(folder: Path, setting: str) -> Rendered:
    """`small` with one more setting."""
    folder.mkdir()
    made = {"name": "nono-settings", "behavior": "merge", "literals": [setting]}
    small = os.path.relpath(K8S / "overlays" / "small", folder)
    kustomization = {"namespace": "nono", "resources": [small], "configMapGenerator": [made]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return render_folder(folder)


def test_the_database_is_restored_when_every_pod_that_writes_is_gone() -> None:
    stopped, gone, restored, *_rest = GUIDED["Backup and restore"]
    assert "scale deployment --all --replicas=0" in stopped
    assert re.search(r"wait --for=delete .* pod -l '\S+ in \(web, replies, celery, beat\)'$", gone)
    assert "job restore" in restored


def test_names_lead_to_what_there_is(cluster: Rendered) -> None:
    labels = {component: pod["metadata"]["labels"] for component, pod in cluster.pods.items()}
    for component, found in labels.items():
        assert found[COMPONENT] == component
    for service in cluster.of_kind("Service"):
        (component,) = (name for name in labels if matches({"matchLabels": service["spec"]["selector"]}, labels[name]))
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(cluster.ports(component))
    for budget in cluster.of_kind("PodDisruptionBudget"):
        assert any(matches(budget["spec"]["selector"], found) for found in labels.values())
    (rule,) = cluster.one("Ingress", "nono")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    backend = cluster.one("Service", path["backend"]["service"]["name"])
    assert path["backend"]["service"]["port"]["name"] in {port["name"] for port in backend["spec"]["ports"]}
    given = _settings_of(cluster)
    assert cluster.ports("web") == {"http": int(given["PORT"]), "metrics": int(given["METRICS_PORT"])}
    for component in ("replies", "celery", "beat"):
        assert cluster.ports(component) == {"metrics": int(given["METRICS_PORT"])}


def test_only_our_processes_reach_the_stores_which_reach_nothing(small: Rendered) -> None:
    for store, port in (("postgres", 5432), ("redis", 6379)):
        assert all(small.may_reach(component, store, port) for component in OWN)
        assert not any(small.may_reach(store, other, port) for other in small.pods)
        assert not small.may_reach_address(store, 443)


def test_processes_reach_the_outside_only_where_they_have_business(cluster: Rendered) -> None:
    assert [name for name in OWN if cluster.may_reach_address(name, 443)] == ["migrate", "web", "replies", "celery"]
    for port in (25, 465, 587):
        assert [name for name in OWN if cluster.may_reach_address(name, port)] == ["celery", "backup"]
    assert not any(cluster.may_reach_address(name, 80) for name in OWN)


def test_a_certificate_is_asked_for_by_the_way_that_people_come(cluster: Rendered) -> None:
    solver = cluster.one("NetworkPolicy", "certificates-are-asked-for")["spec"]
    (people,) = cluster.one("NetworkPolicy", "people-reach-web")["spec"]["ingress"]
    assert solver["podSelector"] == {"matchLabels": {"acme.cert-manager.io/http01-solver": "true"}}
    assert solver["ingress"] == [{"from": people["from"], "ports": [{"protocol": "TCP", "port": 8089}]}]


def test_processes_do_not_reach_each_other(cluster: Rendered) -> None:
    for sender in OWN:
        for receiver in OWN:
            assert not any(cluster.may_reach(sender, receiver, port) for port in (8000, 9460))


def test_models_on_private_networks_and_the_clouds_own_address_are_not_reached(cluster: Rendered) -> None:
    rule = cluster.one("NetworkPolicy", "models-are-asked")["spec"]["egress"][0]
    assert {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"} <= set(rule["to"][0]["ipBlock"]["except"])


def test_scaling_goes_by_figures_that_there_are(production: Rendered) -> None:
    scalers = production.of_kind("HorizontalPodAutoscaler")
    assert {found["spec"]["scaleTargetRef"]["name"] for found in scalers} == set(TOLD_BY)
    for scaler in scalers:
        target = scaler["spec"]["scaleTargetRef"]["name"]
        assert "replicas" not in production.one("Deployment", target)["spec"]
        for metric in scaler["spec"]["metrics"]:
            if metric["type"] == "Pods":
                assert TOLD_BY[target] in DESCRIBED[metric["pods"]["metric"]["name"]].told_by
            elif metric["type"] == "External":
                assert DESCRIBED[metric["external"]["metric"]["name"]].told_by == names.BEAT
    streaming = next(metric for metric in production.one("HorizontalPodAutoscaler", "nono-replies")["spec"]["metrics"])
    assert int(streaming["pods"]["target"]["averageValue"]) < settings.REPLY_SLOTS


def test_the_adapter_gives_every_figure_that_scaling_asks_for(production: Rendered) -> None:
    wanted: dict[str, set[str]] = {"custom": set(), "external": set()}
    for scaler in production.of_kind("HorizontalPodAutoscaler"):
        for metric in scaler["spec"]["metrics"]:
            if metric["type"] == "Pods":
                wanted["custom"].add(metric["pods"]["metric"]["name"])
            elif metric["type"] == "External":
                wanted["external"].add(metric["external"]["metric"]["name"])
    rules = yaml.safe_load((K8S / "prometheus-adapter.yaml").read_text())["rules"]
    for kind, asked in wanted.items():
        assert {rule["name"]["as"] for rule in rules[kind]} == asked
        for rule in rules[kind]:
            assert rule["seriesQuery"].partition("{")[0] == rule["name"]["as"]


def test_prometheus_finds_processes_by_the_names_that_alerts_know(production: Rendered) -> None:
    (endpoint,) = production.one("PodMonitor", "nono")["spec"]["podMetricsEndpoints"]
    (relabelling,) = (found for found in endpoint["relabelings"] if found.get("targetLabel") == "job")
    configured = yaml.safe_load((ROOT / "deploy" / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
    selected = [name for name, pod in production.pods.items() if _is_monitored(production, pod)]
    jobs = {relabelling["replacement"].replace("$1", name) for name in selected}
    assert jobs == {job["job_name"] for job in configured}
    assert all(endpoint["port"] in production.ports(name) for name in selected)


def test_a_pod_that_waits_for_its_tables_is_not_told_to_be_down(production: Rendered) -> None:
    """Its phase is Pending until its init container has ended, for as long as migrations take."""
    (endpoint,) = production.one("PodMonitor", "nono")["spec"]["podMetricsEndpoints"]
    dropped = {"sourceLabels": ["__meta_kubernetes_pod_phase"], "regex": "Pending", "action": "drop"}
    assert dropped in endpoint["relabelings"]


def _is_monitored(production: Rendered, pod: dict[str, Any]) -> bool:
    return matches(production.one("PodMonitor", "nono")["spec"]["selector"], pod["metadata"]["labels"])


def _settings_of(cluster: Rendered) -> dict[str, str]:
    (found,) = cluster.of_kind("ConfigMap")
    assert {"configMapRef": {"name": found["metadata"]["name"]}} in cluster.container("web")["envFrom"]
    return dict(found["data"])
