// The front-end of keys.py: shows the keys, hears them, keeps the current pair in view.
const CONTROLS = "a, button, input, label, select, summary, textarea, [contenteditable]";

function render({ model, el }) {
  el.tabIndex = 0;
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Keyboard shortcuts");
  // JupyterLab would take the letters for its own shortcuts.
  el.dataset.lmSuppressShortcuts = "true";
  el.style.cssText =
    "font:12px/1.9 system-ui,sans-serif;opacity:.85;padding:2px 6px;border-radius:4px;" +
    "white-space:normal;height:auto;overflow:visible;outline-offset:-2px";

  const state = document.createElement("span");
  el.append(state);
  for (const [key, words] of model.get("meanings")) {
    const kbd = document.createElement("kbd");
    kbd.textContent = key;
    kbd.style.cssText = "border:1px solid currentColor;border-radius:3px;padding:0 5px;margin:0 4px 0 10px;font-size:11px";
    const item = document.createElement("span");
    item.style.whiteSpace = "nowrap";
    item.append(kbd, words);
    el.append(item, " ");
  }
  const focused = () => {
    state.textContent = "Keys work now: ";
    el.style.outline = "2px solid #0072b2";
  };
  const blurred = () => {
    state.textContent = "Keys, after a click on a pair: ";
    el.style.outline = "none";
  };
  blurred();

  const panel = () => el.closest(".router-lab-panel");
  const pressed = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!model.get("meanings").some(([key]) => key === event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    model.send({ key: event.key });
  };
  const clicked = (event) => {
    if (!panel()?.contains(event.target) || event.target.closest(CONTROLS)) return;
    if (window.getSelection().isCollapsed) el.focus({ preventScroll: true });
  };
  const moved = () =>
    setTimeout(() => panel()?.querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest" }), 50);

  el.addEventListener("focus", focused);
  el.addEventListener("blur", blurred);
  el.addEventListener("keydown", pressed);
  document.addEventListener("click", clicked);
  model.on("change:current", moved);
  return () => document.removeEventListener("click", clicked);
}

export default { render };
