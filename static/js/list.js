// The list of conversations: its lines follow the events, so that every tab shows the same.

import { cloneTemplate } from "./markup.js";

export class ConversationList {
  constructor(root, app) {
    this.app = app;
    this.list = root.querySelector("#conversation-list");
    this.search = root.querySelector("#search");
    this.archived = root.querySelector("[data-archived]");
    const archivedButton = root.querySelector("[data-show-archived]");
    archivedButton.addEventListener("click", () => this.#showArchived(archivedButton));
    root.querySelector("[data-search]").addEventListener("submit", (event) => event.preventDefault());
    this.list.addEventListener("htmx:afterSettle", () => this.#loaded());
    app.on("event", (event) => this.#event(event));
    app.on("change", () => this.show());
    this.wasReady = false;
    this.#loaded();
  }

  /** What the list knows of a conversation. */
  lookUp(id) {
    const line = this.#line(id);
    if (!line) return null;
    const { pinned, archivedLine } = line.dataset;
    return { id, title: line.querySelector("[data-title]").textContent, pinned: pinned === "1", archived: archivedLine === "1" };
  }

  /** Mark what is shown and what is live. */
  show() {
    for (const line of this.list.querySelectorAll("[data-conversation]")) {
      const id = line.dataset.conversation;
      const isShown = id === this.app.conversation;
      if (line.classList.toggle("is-shown", isShown)) line.querySelector("a").setAttribute("aria-current", "page");
      else line.querySelector("a").removeAttribute("aria-current");
      line.querySelector("[data-live]").hidden = !this.app.isLiveIn(id);
    }
  }

  refresh() {
    this.search.dispatchEvent(new Event("refresh", { bubbles: true }));
  }

  #event(event) {
    if (event.type === "conversation.updated" || event.type === "message.accepted") this.#update(event.conversation);
    if (event.type === "conversations.cleared") this.refresh();
    if (event.type !== "ready") return;
    // After a break there may be news that nobody told.
    if (this.wasReady) this.refresh();
    this.wasReady = true;
  }

  #update(info) {
    const old = this.#line(info.id);
    if (old && Number(old.dataset.revision) > info.revision) return;
    const isOfThisList = !info.deleted && info.archived === (this.archived.value === "1");
    if (!isOfThisList) {
      const next = old?.nextElementSibling ?? old?.previousElementSibling;
      const hadFocus = old?.contains(document.activeElement);
      old?.remove();
      if (hadFocus) (next?.querySelector("a") ?? this.search).focus();
      return;
    }
    if (!old && this.search.value.trim()) return; // whether it matches is the server's to say
    const line = old ?? cloneTemplate("conversation");
    this.#fill(line, info);
    this.#putInOrder(line);
    this.list.querySelector("[data-list-note]")?.remove();
    this.show();
  }

  #fill(line, info) {
    const { dataset } = line;
    dataset.conversation = info.id;
    dataset.pinned = info.pinned ? "1" : "0";
    dataset.archivedLine = info.archived ? "1" : "0";
    dataset.updated = info.updated_at;
    dataset.revision = info.revision;
    line.querySelector("a").href = `/c/${info.id}/`;
    line.querySelector("[data-title]").textContent = info.title;
    line.querySelector("[data-title-words]").textContent = `: ${info.title}`;
    if (info.persona_emoji) line.querySelector("[data-emoji]").textContent = info.persona_emoji;
  }

  /** Pinned ones first, then the newest activity. A line that stands right is not touched, so it keeps its focus. */
  #putInOrder(line) {
    const others = [...this.list.querySelectorAll("[data-conversation]")].filter((each) => each !== line);
    const next = others.find((other) => comesBefore(line, other)) ?? this.list.querySelector("[data-list-more]");
    if (line.isConnected && line.nextElementSibling === next) return;
    const focused = line.contains(document.activeElement) ? document.activeElement : null;
    this.list.insertBefore(line, next ?? null);
    focused?.focus({ preventScroll: true });
  }

  #line(id) {
    return id ? this.list.querySelector(`[data-conversation="${CSS.escape(id)}"]`) : null;
  }

  /** A page of lines came: what moved up meanwhile may stand there twice. */
  #loaded() {
    const seen = new Set();
    for (const line of [...this.list.querySelectorAll("[data-conversation]")]) {
      if (seen.has(line.dataset.conversation)) line.remove();
      seen.add(line.dataset.conversation);
    }
    this.show();
  }

  #showArchived(button) {
    const isOn = this.archived.value !== "1";
    this.archived.value = isOn ? "1" : "0";
    button.setAttribute("aria-pressed", String(isOn));
    this.refresh();
  }
}

function comesBefore(line, other) {
  if (line.dataset.pinned !== other.dataset.pinned) return line.dataset.pinned === "1";
  return Date.parse(line.dataset.updated) >= Date.parse(other.dataset.updated);
}
