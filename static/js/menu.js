// Pop-over menus: where they stand, and the arrow keys within. The browser opens, closes and refocuses them.

const GAP = 6;

/** Put an open menu beside `anchor`, within the window. */
export function place(menu, anchor) {
  const box = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = box.bottom + GAP + height <= innerHeight;
  const left = box.left + width <= innerWidth - GAP ? box.left : box.right - width;
  menu.style.left = `${Math.max(GAP, left)}px`;
  menu.style.top = `${below ? box.bottom + GAP : Math.max(GAP, box.top - GAP - height)}px`;
}

function step(menu, key) {
  const items = [...menu.querySelectorAll(".menu-item, .language")].filter((item) => item.offsetParent !== null || item.getClientRects().length);
  const at = items.indexOf(document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[key];
  items[(next + items.length) % items.length]?.focus();
}

export function mountMenus() {
  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest?.(".menu[popover]");
    if (!menu || !["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    step(menu, event.key);
  });
  for (const menu of document.querySelectorAll("[data-menu]")) {
    const anchor = document.querySelector(`[popovertarget="${menu.id}"]`);
    menu.addEventListener("toggle", (event) => {
      if (event.newState !== "open") return;
      place(menu, anchor);
      menu.querySelector(".menu-item")?.focus();
    });
  }
}
