"""What axe finds on a page that is open in a browser."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SCRIPT = Axe().axe_script
# Only what is wrong leaves the browser: all else axe has to tell takes longer to hand over than to find.
RUN = "async () => (await axe.run({resultTypes: ['violations']})).violations"


def serious_violations(page: Page) -> list[str]:
    """What axe finds that is serious or critical. A page keeps axe until it is left."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(SCRIPT)
    return [
        f"{each['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for each in page.evaluate(RUN)
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
