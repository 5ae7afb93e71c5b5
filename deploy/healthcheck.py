"""Is the process in this container alive? ``healthcheck.py web`` asks its port, any other name that of its metrics.

Ends with 0 if it answers. Standard library only, and nothing of Nono's: it runs every few seconds.
"""

import http.client
import os
import sys

SECONDS = 4


def main(process: str) -> int:
    """The exit code: 0 for alive."""
    port = os.environ["PORT" if process == "web" else "METRICS_PORT"]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=SECONDS)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"{process}: {error}\n")
        return 1
    finally:
        connection.close()
    if status != 200:
        sys.stderr.write(f"{process}: /healthz answers {status}\n")
    return int(status != 200)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "web"))
