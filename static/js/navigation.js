// From one conversation to another without loading the page anew: the panel is fetched, the address follows.

import { announce } from "./announce.js";
import { getFragment } from "./http.js";
import { toast } from "./toast.js";

function address() {
  return location.pathname + location.search;
}

export class Navigation {
  /** `mount(panel)` makes a panel of the fetched element. */
  constructor(main, mount) {
    this.main = main;
    this.mount = mount;
    this.request = null;
    document.addEventListener("click", (event) => this.#clicked(event));
    this.shown = address();
    // A jump within the page, as by the link that skips to the content, is told as well: nothing to load then.
    addEventListener("popstate", () => address() !== this.shown && this.#load(address()));
  }

  /** What is shown has a new address. */
  rename(url) {
    history.replaceState(null, "", url);
    this.shown = address();
  }

  /** Go to `url`, as by a link. */
  async go(url) {
    if (!(await this.#load(url))) return;
    history.pushState(null, "", url);
    this.shown = address();
  }

  #clicked(event) {
    const link = event.target.closest("a[data-navigate]");
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !isPlain || event.defaultPrevented) return;
    event.preventDefault();
    this.go(link.getAttribute("href"));
  }

  async #load(url) {
    this.request?.abort();
    const request = (this.request = new AbortController());
    const old = this.main.querySelector("[data-panel]");
    old?.classList.add("is-loading");
    try {
      const html = await getFragment(url, request.signal);
      // A template's content is inert while it is parsed; the text is a page of our own server.
      const template = document.createElement("template");
      template.innerHTML = html;
      const panel = template.content.querySelector("[data-panel]");
      this.main.replaceChildren(panel);
      this.shown = address();
      this.mount(panel);
      document.title = `${panel.dataset.title} · Nono`;
      announce(panel.dataset.title);
      return true;
    } catch (error) {
      if (error.name === "AbortError") return false;
      old?.classList.remove("is-loading");
      if (error.status === 401) location.assign(url);
      else toast(error.detail ?? String(error));
      return false;
    }
  }
}
