"""Model servers on a card of one's own (deploy/gpu, deploy/k8s/vllm), held against formats and Nono's settings."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.conf import settings

from chatbot_project.lib.llm.providers import providers_from_env
from chatbot_project.tests.cluster import K8S, Rendered, render_folder

ROOT = Path(settings.BASE_DIR)
TOOLS = Path(sys.executable).parent
GPU = sorted((ROOT / "deploy" / "gpu").glob("*.yml"))
GUIDE = (ROOT / "docs" / "deploy-gpu.md").read_text()


@pytest.fixture(scope="module")
def vllm() -> Rendered:
    return render_folder(K8S / "vllm")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return in_overlay_of_ones_own(tmp_path_factory.mktemp("ours"), "overlays/small")


def in_overlay_of_ones_own(folder: Path, like: str) -> Rendered:
    """With the component."""
    base, component = (os.path.relpath(K8S / name, folder) for name in (like, "components/models-in-cluster"))
    kustomization = {"namespace": "nono", "resources": [base], "components": [component]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return render_folder(folder)


def served(vllm: Rendered) -> dict[str, Any]:
    (container,) = vllm.one("Deployment", "vllm")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def options(text: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+)[= ]([\w.]+)", text))


def test_kubernetes_takes_the_model_server(vllm: Rendered, ours: Rendered) -> None:
    for resource in (*vllm.resources, *ours.of_kind("NetworkPolicy", "ConfigMap")):
        kubernetes_validate.validate(resource, "1.37", strict=True)


def test_compose_takes_the_model_servers() -> None:
    command = [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", *GPU]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (len(GPU), done.returncode) == (2, 0), done.stdout


def test_nono_is_told_of_the_model_server_that_there_is(vllm: Rendered, ours: Rendered) -> None:
    (found,) = ours.of_kind("ConfigMap")
    provider = providers_from_env(custom=json.loads(found["data"]["LLM_PROVIDERS"]))["vllm"]
    service, namespace = vllm.one("Service", "vllm"), vllm.of_kind("Namespace")[0]["metadata"]["name"]
    (port,) = (entry["port"] for entry in service["spec"]["ports"])
    assert provider.base_url == f"http://vllm.{namespace}.svc.cluster.local:{port}/v1"
    assert not provider.is_outside
    name, _, model = found["data"]["DEFAULT_MODEL"].partition("/")
    assert (name, model) == ("vllm", options(" ".join(served(vllm)["args"]))["served-model-name"])


def test_nono_may_reach_the_model_server_and_it_lets_nono_in(vllm: Rendered, ours: Rendered) -> None:
    rule = ours.one("NetworkPolicy", "models-in-the-cluster-are-asked")["spec"]["egress"][0]
    namespace = vllm.of_kind("Namespace")[0]["metadata"]["name"]
    assert rule["to"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == namespace
    (port,) = (entry["containerPort"] for entry in served(vllm)["ports"])
    assert port in {entry["port"] for entry in rule["ports"]}
    (entry,) = vllm.one("NetworkPolicy", "vllm")["spec"]["ingress"]
    ours_in = ours.of_kind("Namespace")[0]["metadata"]["name"]
    assert {"kubernetes.io/metadata.name": ours_in} in [
        peer["namespaceSelector"]["matchLabels"] for peer in entry["from"]
    ]


def test_reply_workers_ask_no_more_than_the_server_takes_at_once(
    vllm: Rendered, ours: Rendered, tmp_path: Path
) -> None:
    most = int(options(" ".join(served(vllm)["args"]))["max-num-seqs"])
    slots = json.loads(ours.of_kind("ConfigMap")[0]["data"]["PROVIDER_SLOTS"])["vllm"]
    production = render_folder(K8S / "overlays/production").one("HorizontalPodAutoscaler", "nono-replies")["spec"]
    assert slots * production["minReplicas"] <= most
    scaled = in_overlay_of_ones_own(tmp_path, "overlays/production").one("HorizontalPodAutoscaler", "nono-replies")
    assert slots * scaled["spec"]["maxReplicas"] <= most


def test_compose_and_kubernetes_run_the_same_server(vllm: Rendered) -> None:
    service = yaml.safe_load((ROOT / "deploy" / "gpu" / "compose.vllm.yml").read_text())["services"]["vllm"]
    assert service["image"] == served(vllm)["image"]
    assert options(service["command"]) == options(" ".join(served(vllm)["args"]))


@pytest.mark.parametrize("path", GPU, ids=lambda path: path.stem)
def test_the_guide_gives_nono_as_many_slots_as_the_file_says(path: Path) -> None:
    (slots,) = re.findall(r'PROVIDER_SLOTS=(\{"\w+": \d+\})', path.read_text())
    assert f"PROVIDER_SLOTS={slots}" in GUIDE
    (service,) = yaml.safe_load(path.read_text())["services"].values()
    (most,) = json.loads(slots).values()
    assert str(most) in {
        service.get("environment", {}).get("OLLAMA_NUM_PARALLEL"),
        options(str(service.get("command"))).get("max-num-seqs"),
    }
