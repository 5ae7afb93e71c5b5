// Before the first paint: the theme that the person chose, if any. A plain script, as a module would come too late.
try {
  const theme = localStorage.getItem("nono:theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is forbidden: the system's theme it is.
}
