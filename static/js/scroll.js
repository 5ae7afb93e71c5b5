// Stays at the end of a growing transcript until the reader scrolls up, and again once they are back at the end.

const NEAR = 64;

export class StickyScroll {
  /** `scroller` scrolls `content`; `button` leads back to the end. */
  constructor(scroller, content, button) {
    this.scroller = scroller;
    this.content = content;
    this.button = button;
    this.sticks = true;
    this.last = scroller.scrollTop;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    scroller.addEventListener("wheel", (event) => event.deltaY < 0 && this.#yield(), { passive: true });
    button.addEventListener("click", () => this.toEnd());
    this.observer = new ResizeObserver(() => this.keep());
    this.observer.observe(content);
    this.observer.observe(scroller);
  }

  /** Read from the start, as a page. */
  toStart() {
    this.sticks = false;
    this.scroller.scrollTop = 0;
    this.#show();
  }

  /** At the end again, where the reader wants to be there. */
  keep() {
    if (this.sticks) this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#show();
  }

  toEnd() {
    this.sticks = true;
    this.keep();
  }

  /** Run `change`, which puts something above, without moving what is read. */
  async holding(change) {
    const { scrollHeight, scrollTop } = this.scroller;
    this.sticks = false;
    await change();
    this.scroller.scrollTop = scrollTop + this.scroller.scrollHeight - scrollHeight;
  }

  close() {
    this.observer.disconnect();
  }

  get #distance() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  #yield() {
    if (this.scroller.scrollHeight > this.scroller.clientHeight) this.sticks = false;
    this.#show();
  }

  #scrolled() {
    const { scrollTop } = this.scroller;
    if (this.#distance < NEAR) this.sticks = this.sticks || scrollTop >= this.last;
    else if (scrollTop < this.last) this.sticks = false;
    this.last = scrollTop;
    this.#show();
  }

  #show() {
    const isEmpty = !this.content.querySelector("[data-message]");
    this.button.hidden = isEmpty || this.sticks || this.#distance < NEAR;
    this.scroller.closest("[data-panel]")?.classList.toggle("is-scrolled", this.scroller.scrollTop > 8);
  }
}
