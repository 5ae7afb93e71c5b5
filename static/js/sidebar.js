// On a narrow page the list lies off to the side: opened over the panel, which nothing can reach meanwhile.

const WIDE = matchMedia("(width >= 56rem)");

export class Sidebar {
  constructor(root) {
    this.root = root;
    this.scrim = document.querySelector("[data-scrim]");
    this.main = document.querySelector("[data-main]");
    this.opener = null;
    document.addEventListener("click", (event) => {
      const opener = event.target.closest("[data-sidebar-open]");
      if (opener) this.open(opener);
    });
    root.querySelector("[data-sidebar-close]").addEventListener("click", () => this.close());
    this.scrim.addEventListener("click", () => this.close());
    WIDE.addEventListener("change", () => this.close());
    root.addEventListener("keydown", (event) => this.#pressed(event));
  }

  get isOpen() {
    return this.root.classList.contains("is-open");
  }

  open(opener) {
    this.opener = opener;
    this.#set(true);
    this.root.querySelector("[data-sidebar-close]").focus();
  }

  close() {
    if (!this.isOpen) return;
    this.#set(false);
    const opener = this.opener?.isConnected ? this.opener : document.querySelector("[data-sidebar-open]");
    if (this.root.contains(document.activeElement) || document.activeElement === document.body) opener?.focus();
  }

  #set(isOpen) {
    this.root.classList.toggle("is-open", isOpen);
    this.scrim.hidden = !isOpen;
    this.main.inert = isOpen;
    document.querySelector("[data-sidebar-open]")?.setAttribute("aria-expanded", String(isOpen));
  }

  /** Tab goes round within the list; Escape closes it. */
  #pressed(event) {
    if (!this.isOpen) return;
    if (event.key === "Escape" && !document.querySelector(":popover-open")) {
      event.stopPropagation();
      this.close();
    }
    if (event.key !== "Tab") return;
    const stops = [...this.root.querySelectorAll("a[href], button, input:not([type=hidden])")].filter((each) => each.getClientRects().length);
    const edge = event.shiftKey ? stops[0] : stops.at(-1);
    if (document.activeElement !== edge) return;
    event.preventDefault();
    (event.shiftKey ? stops.at(-1) : stops[0]).focus();
  }
}
