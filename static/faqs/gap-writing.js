// Waits for the answer that a model drafts in the background, then shows the page with it.

const EVERY_MS = 1500;

async function wait(root) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    try {
      const response = await fetch(root.dataset.gapWriting, { headers: { Accept: "application/json" } });
      if (!response.ok || response.redirected) return; // signed out, or gone: a reload says so
      if (!(await response.json()).writing) break;
    } catch {
      // Away for a moment: ask again.
    }
  }
  // As a new visit: what was sent to get here is not sent again.
  location.replace(root.dataset.page);
}

for (const root of document.querySelectorAll("[data-gap-writing]")) wait(root);
