// What can be done with a conversation, from its line in the list or from the panel's head: one menu for both.

import { announce } from "./announce.js";
import { post } from "./http.js";
import { cloneTemplate } from "./markup.js";
import { place } from "./menu.js";
import { say } from "./strings.js";
import { toast } from "./toast.js";

export class ConversationMenu {
  /** `lookUp(id)` gives {id, title, pinned, archived} of a conversation that is shown somewhere. */
  constructor(app, lookUp) {
    this.app = app;
    this.lookUp = lookUp;
    this.menu = document.querySelector("[data-conversation-menu]");
    this.button = null;
    this.menu.addEventListener("click", (event) => this.#chosen(event.target.closest("[data-do]")?.dataset.do));
    this.menu.addEventListener("toggle", (event) => this.button?.setAttribute("aria-expanded", String(event.newState === "open")));
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-menu-button]");
      if (button) this.open(button);
    });
  }

  open(button) {
    const id = button.closest("[data-conversation]").dataset.conversation;
    const info = this.lookUp(id);
    if (!info) return;
    const wasOpen = this.button === button && this.menu.matches(":popover-open");
    this.menu.hidePopover();
    if (wasOpen) return;
    this.button = button;
    this.info = info;
    this.menu.querySelector('[data-do="pin"]').setAttribute("aria-pressed", String(info.pinned));
    this.menu.querySelector('[data-do="archive"]').setAttribute("aria-pressed", String(info.archived));
    this.menu.showPopover({ source: button });
    place(this.menu, button);
    this.menu.querySelector("[data-do]").focus();
  }

  async #chosen(action) {
    if (!action) return;
    const { info, button } = this;
    this.menu.hidePopover();
    if (action === "rename") {
      this.#rename(info, button);
      return;
    }
    button.focus();
    try {
      if (action === "pin") await this.#post(info, "pin", { on: info.pinned ? 0 : 1 });
      if (action === "archive") await this.#archive(info);
      if (action === "delete") await this.#delete(info);
    } catch (error) {
      toast(error.detail ?? say("network"));
    }
  }

  /** The answer holds what the event will say, too: whoever is first is right. */
  async #post(info, action, fields = {}) {
    const { conversation } = await post(`/c/${info.id}/${action}/`, fields);
    const event = { type: "conversation.updated", conversation, client_id: "" };
    for (const listener of this.app.listeners.event) listener(event);
    this.app.dispatch(event);
  }

  async #archive(info) {
    await this.#post(info, "archive", { on: info.archived ? 0 : 1 });
    if (info.archived) return;
    const undo = () => this.#quietly(info, "archive", { on: 0 });
    toast(say("archived", { title: info.title }), { label: say("undo"), run: undo });
  }

  async #delete(info) {
    await this.#post(info, "delete");
    const undo = () => this.#quietly(info, "restore");
    toast(say("deleted", { title: info.title }), { label: say("undo"), run: undo });
  }

  async #quietly(info, action, fields) {
    try {
      await this.#post(info, action, fields);
    } catch (error) {
      toast(error.detail ?? say("network"));
    }
  }

  #rename(info, button) {
    const holder = button.closest("li")?.querySelector(".conversation-link") ?? button.closest("header").querySelector("h1");
    const form = cloneTemplate("rename");
    const field = form.querySelector("input");
    field.value = info.title;
    let isOver = false;
    const close = async (keep) => {
      if (isOver) return;
      isOver = true;
      const title = field.value.trim();
      form.remove();
      holder.hidden = false;
      button.focus();
      if (!keep || !title || title === info.title) return;
      await this.#quietly(info, "rename", { title });
      announce(title);
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      close(true);
    });
    field.addEventListener("blur", () => close(true));
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close(false);
    });
    holder.hidden = true;
    holder.after(form);
    field.focus();
    field.select();
  }
}
