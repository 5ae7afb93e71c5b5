"""``pin_digests.py``: writes beside the tag of each image of others the digest that its registry has for it now.
``pin_digests.py --check``: names those that have none, and fails.

Standard library only; it asks by ``docker buildx``, which needs no engine for that.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("Dockerfile", "docker-compose.yml", "deploy/gpu/*.yml", "deploy/k8s/**/*.yaml")
#: An image by its tag, where a Dockerfile, a compose file or a manifest names one. Our own stands in a variable
#: (NONO_IMAGE), or in an overlay.
IMAGE = re.compile(
    r"^(?P<before># syntax=|ARG \w+=|FROM |COPY --from=|\s*image: )"
    r"(?P<image>[a-z0-9][\w./:-]*:\w[\w.-]*)(?P<digest>@\S+)?(?=\s)",
    re.MULTILINE,
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def files(root: Path) -> list[Path]:
    return sorted(path for pattern in FILES for path in root.glob(pattern))


def bare(text: str) -> Iterator[str]:
    """The images that no digest stands beside."""
    return (found["image"] for found in IMAGE.finditer(text) if not found["digest"])


def pinned(text: str, digest_of: Callable[[str], str]) -> str:
    """``text`` with the digest of each image beside its tag, in the place of the one that stood there."""
    return IMAGE.sub(lambda found: f"{found['before']}{found['image']}@{digest_of(found['image'])}", text)


def ask(image: str) -> str:
    """The digest, of all platforms together. Raises CalledProcessError, and ValueError where the answer is none."""
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    if not DIGEST.fullmatch(said):
        raise ValueError(f"{image}: {said!r} is no digest")
    return said


def main(arguments: list[str], root: Path = ROOT) -> int:
    """The exit code."""
    if arguments == ["--check"]:
        found = [(path.relative_to(root), image) for path in files(root) for image in bare(path.read_text())]
        sys.stderr.writelines(f"{path}: {image} has no digest; run .ci/pin_digests.py\n" for path, image in found)
        return 1 if found else 0
    asked_once = cache(ask)  # one digest of an image in all files, which tests hold to each other
    for path in files(root):
        path.write_text(pinned(path.read_text(), asked_once))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
