// Shared by the panes over pictures (frame_port.js, space_view.js): reports to the kernel whether they are visible, and
// keeps keys from the notebook's shortcuts.

const REPORT_AFTER = 3000; // ms without a frame after which a watching page reports again

// Callbacks for `model.send` that leave the displayed kernel state unchanged. Otherwise JupyterLab would toggle
// its busy indicators at each frame, which takes longer than all of our drawing.
const quietly = ({ widget_manager: { kernel } }) => ({
  iopub: { status: (message) => (message.content.execution_state = kernel?.status ?? "idle") },
});

// Tracks the visibility of all displays of `model` on this page. Call `show` and `remove` for an element, and
// `heard` for each frame.
function watcher(model) {
  const client = Math.random().toString(36).slice(2);
  const views = new Map(); // element → whether it is visible
  let [watching, displayed, lastHeard] = [false, false, 0];

  const report = () => {
    lastHeard = performance.now();
    model.send({ watching, displayed, client });
  };
  const update = () => {
    const before = [watching, displayed];
    watching = !document.hidden && [...views.values()].includes(true);
    displayed = views.size > 0;
    if (watching !== before[0] || displayed !== before[1]) report();
  };
  document.addEventListener("visibilitychange", update);
  const heartbeat = setInterval(() => watching && performance.now() - lastHeard > REPORT_AFTER && report(), REPORT_AFTER / 3);
  return {
    client,
    watching: () => watching,
    heard: () => (lastHeard = performance.now()),
    show: (el, visible) => (views.set(el, visible), update()),
    remove: (el) => (views.delete(el), update()),
    close() {
      clearInterval(heartbeat);
      document.removeEventListener("visibilitychange", update);
    },
  };
}

// Keys that act on the focused element here. Notebooks handle the same keys first, so an attribute suppresses
// their shortcuts for this one event. A key with a modifier (to save, to run a cell) is left to the notebook.
const HANDLED_KEYS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown", "Enter", " "];
const SUPPRESS = "data-lm-suppress-shortcuts";
function suppressShortcuts({ key, ctrlKey, altKey, metaKey, shiftKey, target }) {
  if (ctrlKey || altKey || metaKey || shiftKey || !HANDLED_KEYS.includes(key)) return;
  if (!target.closest?.('[class*="chronoflux-"]') || target.hasAttribute(SUPPRESS)) return;
  target.setAttribute(SUPPRESS, "true");
  setTimeout(() => target.removeAttribute(SUPPRESS));
}

// Reports the visibility of an element to a watcher until the returned function is called; `also` runs with
// each report.
function observe(watch, el, also = () => {}) {
  const observer = new IntersectionObserver((entries) => {
    watch.show(el, entries.at(-1).isIntersecting);
    also();
  });
  observer.observe(el);
  const keys = (event) => suppressShortcuts(event); // a separate function per display, so that each can be removed
  window.addEventListener("keydown", keys, true);
  return () => {
    window.removeEventListener("keydown", keys, true);
    observer.disconnect();
    watch.remove(el);
  };
}
