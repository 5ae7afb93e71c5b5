"""docker-compose.yml without containers: its own commands, environments, order and health checks, on loopback ports.

What a container would give is put in its place: names of hosts, a port for each replica, folders for its volumes, the
image's environment, and no more of the checkout than is in the image. PostgreSQL is the session's, with a database of
its own, as it may not run as root here.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import psycopg
import yaml
from django.conf import settings

from chatbot_project.embedded.dotenv import parse_dotenv
from chatbot_project.embedded.paths import VarPaths
from chatbot_project.embedded.postgres import binary_dir
from chatbot_project.tests.image import ROOT, build_command, copy_image, image_environment
from conversations.tests.stack import free_port, wait_until

TOOLS = Path(sys.executable).parent
DATABASE = "nono_compose"
START_SECONDS = 120
_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


def interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    """``value`` as Compose reads it: ``${NAME:-default}``, ``${NAME:?message}``, ``$$``. Raises KeyError where one that
    is needed is missing."""
    if isinstance(value, dict):
        return {name: interpolated(each, variables) for name, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, variables) for each in value]
    if not isinstance(value, str):
        return value

    def put(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        given = variables.get(found["name"], "")
        if not given and found["kind"] == "?":
            raise KeyError(found["rest"])
        return given or (found["rest"] if found["kind"] == "-" else "") or ""

    return _VARIABLE.sub(put, value)


class Replica:
    """One container's process."""

    def __init__(self, service: str, command: list[str], environment: dict[str, str], folder: Path, log: Path) -> None:
        self.service, self.command, self.environment = service, command, environment
        self.folder, self.log = folder, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait(self, seconds: float) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def terminate(self) -> None:
        assert self.process is not None
        self.process.terminate()

    def output(self) -> str:
        return self.log.read_text(errors="replace")


class Compose:
    """The services of the file, started in the order it asks for; a context manager."""

    def __init__(self, folder: Path, model_url: str) -> None:
        self.folder = folder
        self.image, self.data, self.static = folder / "image", folder / "data", folder / "static"
        self.ports = {name: free_port() for name in ("http", "https", "redis")}
        made = subprocess.run(
            ["sh", "deploy/new_env.sh", "localhost"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        self.env_file = parse_dotenv(made) | {
            "BASE_URL": self.url,
            "LLM_PROVIDERS": f'{{"fake": {{"base_url": "{model_url}", "api_key": "test"}}}}',
            "DEFAULT_MODEL": "fake/fake",
        }
        text = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        self.services: dict[str, Any] = interpolated(text["services"], self.env_file)
        self.volumes = {
            Path(mount.split(":")[1])
            for mount in self.services["web"]["volumes"]
            if mount.startswith(tuple(text["volumes"]))
        }
        self.replicas: dict[str, list[Replica]] = {}

    @property
    def url(self) -> str:
        return f"https://localhost:{self.ports['https']}"

    @property
    def authority(self) -> Path:
        """The certificate of the authority that Caddy has made for itself."""
        return self.folder / "caddy" / "caddy" / "pki" / "authorities" / "local" / "root.crt"

    def __enter__(self) -> Self:
        self._prepare_places()
        try:
            for name in self.order():
                if name != "postgres":
                    self.start(name)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for replica in self.all():
            if replica.is_running:
                assert replica.process is not None
                os.killpg(replica.process.pid, signal.SIGKILL)
                replica.process.wait(10)
        if error[0] is not None:
            for replica in self.all():
                print(f"--- {replica.service}\n{replica.output()[-4000:]}")
        with psycopg.connect(settings.DATABASE_URL, autocommit=True) as session:
            session.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")

    def all(self) -> Iterator[Replica]:
        for replicas in self.replicas.values():
            yield from replicas

    def order(self) -> list[str]:
        """The services without a profile, each after those that it depends on."""
        found: list[str] = []

        def add(name: str) -> None:
            for other in self.services[name].get("depends_on", {}):
                add(other)
            if name not in found:
                found.append(name)

        for name, service in self.services.items():
            if "profiles" not in service:
                add(name)
        return found

    def start(self, name: str) -> None:
        """Start all replicas of a service, once what it depends on is as it asks for."""
        service = self.services[name]
        for other, wanted in service.get("depends_on", {}).items():
            self._wait(other, wanted["condition"])
        count = int(service.get("deploy", {}).get("replicas", 1))
        self.replicas[name] = [self._replica(name, number) for number in range(count)]
        for replica in self.replicas[name]:
            replica.start()

    def is_healthy(self, replica: Replica) -> bool:
        """What the service's own health check says."""
        return self.health(replica).returncode == 0

    def health(self, replica: Replica) -> subprocess.CompletedProcess[str]:
        return self._check(replica.service, replica.environment)

    def database_health(self) -> subprocess.CompletedProcess[str]:
        """The check of PostgreSQL, asked of the session's."""
        socket = str(VarPaths(Path(settings.VAR_DIR)).postgres_socket_dir)
        return self._check("postgres", {"PATH": f"{binary_dir()}:{os.environ['PATH']}"}, {"127.0.0.1": socket})

    def _check(
        self, service: str, environment: dict[str, str], elsewhere: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        kind, *test = self.services[service]["healthcheck"]["test"]
        command = ["sh", "-c", *test] if kind == "CMD-SHELL" else test
        command = [(elsewhere or {}).get(part, self._here(part, environment)) for part in command]
        return subprocess.run(
            command, cwd=self.image, env=environment, capture_output=True, text=True, check=False, timeout=30
        )

    def run(self, name: str, *command: str) -> str:
        """``docker compose run --rm NAME COMMAND``: what it says. Fails where it fails."""
        replica = self._replica(name, 0)
        done = subprocess.run(
            command,
            cwd=self.image,
            env=replica.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self, name: str) -> list[int]:
        """``docker compose stop NAME``: SIGTERM, and the exit codes, within the time that the file grants."""
        seconds = float(self.services[name].get("stop_grace_period", "10s").rstrip("s"))
        for replica in self.replicas[name]:
            replica.terminate()
        deadline = time.monotonic() + seconds
        return [replica.wait(max(0.1, deadline - time.monotonic())) for replica in self.replicas[name]]

    # --- Parts

    def _prepare_places(self) -> None:
        self.data.mkdir(parents=True)
        for volume in self.volumes:
            (self.data / volume.relative_to("/data")).mkdir()
        caddyfile = (ROOT / "deploy" / "Caddyfile").read_text()
        # It listens on every address of its container, and asks the container's resolver for those of `web`.
        (self.folder / "Caddyfile").write_text(caddyfile.replace("{\n", "{\n\tdefault_bind 127.0.0.1\n", 1))
        with psycopg.connect(settings.DATABASE_URL, autocommit=True) as session:
            session.execute(f"CREATE DATABASE {DATABASE}")
        copy_image(self.image)
        build = build_command().replace("/venv/bin/python", sys.executable).replace("=/static ", f"={self.static} ")
        subprocess.run(["sh", "-c", build], cwd=self.image, env={"PATH": os.defpath}, capture_output=True, check=True)

    def _outside(self) -> dict[str, str]:
        """What every process has from this machine instead of from its image."""
        kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
        return kept | {
            "PATH": f"{TOOLS}:{os.environ['PATH']}",
            "VAR_DIR": str(self.data),
            "STATIC_ROOT": str(self.static),
        }

    def _replica(self, name: str, number: int) -> Replica:
        service = self.services[name]
        environment = {"HOME": str(self.folder)} | (image_environment() if "build" in service else {})
        environment |= (self.env_file if "env_file" in service else {}) | service.get("environment", {})
        environment |= self._outside()
        if "build" in service:
            environment |= {"PORT": str(free_port()), "METRICS_PORT": str(free_port())}
        if name == "proxy":
            environment |= {
                "HTTP_PORT": str(self.ports["http"]),
                "HTTPS_PORT": str(self.ports["https"]),
                "XDG_DATA_HOME": str(self.folder / "caddy"),
                "WEB_UPSTREAMS": self._upstreams(),
            }
        environment = {key: self._here(value, environment) for key, value in environment.items()}
        command = [self._here(part, environment) for part in shlex.split(service["command"])]
        return Replica(name, command, environment, self.image, self.folder / f"{name}-{number}.log")

    def _upstreams(self) -> str:
        """The addresses that Docker's resolver would give for `web`, as the Caddyfile's variable takes them."""
        addresses = [f"a 127.0.0.1 {replica.environment['PORT']}" for replica in self.replicas["web"]]
        return "\n".join(["multi {", *addresses, ""])

    def _here(self, text: str, environment: Mapping[str, str]) -> str:
        socket = VarPaths(Path(settings.VAR_DIR)).postgres_socket_dir
        redis = f"redis-server --bind 127.0.0.1 --port {self.ports['redis']} --dir {self.folder}"
        for there, here in {
            "0.0.0.0": "127.0.0.1",
            "@postgres/nono": f"@/{DATABASE}?host={socket}",
            "@redis:6379/": f"@127.0.0.1:{self.ports['redis']}/",
            "redis-server": redis,
            "redis-cli": f"redis-cli -p {self.ports['redis']}",
            "/etc/caddy/": f"{self.folder}/",
            "http://127.0.0.1:80/": f"http://127.0.0.1:{self.ports['http']}/",
            "/tmp/beat": f"{self.folder}/beat",
        }.items():
            text = text.replace(there, here)
        return re.sub(r"^/data\b", str(self.data), text)

    def _wait(self, name: str, condition: str) -> None:
        if name == "postgres":
            return  # the session's
        replicas = self.replicas[name]
        if condition == "service_completed_successfully":
            assert [replica.wait(START_SECONDS) for replica in replicas] == [0], replicas[0].output()
            return
        assert condition == "service_healthy"
        for replica in replicas:
            wait_until(lambda replica=replica: not replica.is_running or self.is_healthy(replica), name, START_SECONDS)
            assert replica.is_running, replica.output()
