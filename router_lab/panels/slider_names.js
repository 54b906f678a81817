// The front-end of slider_names.py: gives each handle of a slider the name that stands beside it.
function named(panel) {
  for (const slider of panel.querySelectorAll(".widget-slider")) {
    const name = slider.querySelector(".widget-label")?.textContent.trim() ?? "";
    const handles = slider.querySelectorAll(".noUi-handle");
    const ends = handles.length === 2 ? [", from", ", to"] : [""];
    handles.forEach((handle, place) => handle.setAttribute("aria-label", name + ends[place]));
  }
}

function render({ el }) {
  el.hidden = true;
  const started = setTimeout(() => {
    const panel = el.closest(".router-lab-panel");
    if (!panel) return;
    named(panel);
    watcher.observe(panel, { childList: true, subtree: true });
  });
  const watcher = new MutationObserver((changes) => {
    if (changes.some((change) => [...change.addedNodes].some((node) => node.querySelector?.(".noUi-handle")))) {
      named(el.closest(".router-lab-panel"));
    }
  });
  return () => {
    clearTimeout(started);
    watcher.disconnect();
  };
}

export default { render };
