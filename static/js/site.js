// What every page has: the theme, the menus, and forgetting at sign-out.

import { forgetWriting } from "./drafts.js";
import { mountMenus } from "./menu.js";
import { mountTheme } from "./theme.js";

mountTheme();
mountMenus();
for (const form of document.querySelectorAll("form[data-forget]")) form.addEventListener("submit", forgetWriting);
