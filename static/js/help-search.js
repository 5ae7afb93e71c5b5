// Search as you type in the help pages. The form works without this; here only its results are asked for and shown.

import { announce } from "./announce.js";
import { getFragment } from "./http.js";

const PAUSE = 200;

class HelpSearch {
  constructor(form) {
    this.form = form;
    this.field = form.querySelector("input[name=q]");
    this.results = document.querySelector("[data-results]");
    this.shown = this.field.value.trim();
    this.timer = null;
    this.request = null;
    this.field.addEventListener("input", () => this.#typed());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#search();
    });
    // The browser's way back may bring the page with a field that it filled in by itself.
    addEventListener("pageshow", () => this.#typed());
  }

  #typed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#search(), PAUSE);
  }

  async #search() {
    clearTimeout(this.timer);
    const query = this.field.value.trim();
    if (query === this.shown) return;
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    this.shown = query;
    const url = new URL(this.form.action);
    if (query) url.searchParams.set("q", query);
    this.results.setAttribute("aria-busy", "true");
    try {
      const html = await getFragment(url.href, request.signal);
      if (this.request !== request) return;
      this.results.innerHTML = html; // our own template's, which escapes what people wrote
      history.replaceState(history.state, "", url);
      announce(this.results.querySelector("[data-count]")?.textContent ?? "");
    } catch (error) {
      if (error.name === "AbortError" || this.request !== request) return;
      this.shown = null; // to be asked again
      this.#refuse(error.detail);
    }
    this.results.removeAttribute("aria-busy");
  }

  #refuse(detail) {
    const notice = document.createElement("p");
    notice.className = "notice";
    notice.textContent = detail;
    this.results.querySelector(":scope > .notice")?.remove();
    this.results.prepend(notice);
    announce(detail);
  }
}

for (const form of document.querySelectorAll("[data-help-search]")) new HelpSearch(form);
