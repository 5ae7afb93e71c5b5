// A notice that is sent away: at once here, and by the server on every page of this session.

/** Have the forms within `root` that send their notice away do so without loading the page anew. */
export function mountNotices(root, { onGone }) {
  root.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-dismiss]");
    if (!form) return;
    event.preventDefault();
    const options = { method: "POST", body: new FormData(form), redirect: "manual" };
    fetch(form.action, options).catch(() => {}); // it then comes back with the next page
    form.closest("[data-notice]").remove();
    onGone();
  });
}
