// "Did this help?": the same forms, answered without leaving the page.

import { RequestError, postForm } from "./http.js";

function mount(root) {
  root.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    const fields = new FormData(form, event.submitter);
    for (const button of root.querySelectorAll("button")) button.disabled = true;
    try {
      root.innerHTML = await postForm(form.action, fields); // our own template's, which escapes what people wrote
      root.querySelector("[data-feedback-said]").focus();
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      root.querySelector("[data-feedback-said]").textContent = error.detail;
      for (const button of root.querySelectorAll("button")) button.disabled = false;
    }
  });
}

for (const root of document.querySelectorAll("[data-help-feedback]")) mount(root);
