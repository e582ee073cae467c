// Shared by the panes over pictures (frames.js, space.js): reports to the kernel whether they are visible, and
// handles the keyboard.

const QUIET = 3000; // ms without a frame after which a watching page reports again

// Callbacks for `model.send` that leave the displayed kernel state unchanged. Otherwise JupyterLab would toggle
// its busy indicators at each frame, which takes longer than all of our drawing.
const quietly = ({ widget_manager: { kernel } }) => ({
  iopub: { status: (message) => (message.content.execution_state = kernel?.status ?? "idle") },
});

// Tracks the visibility of all displays of `model` on this page. Call `show` and `remove` for an element, and
// `hear` for each frame.
function watcher(model) {
  const client = Math.random().toString(36).slice(2);
  const views = new Map(); // element → whether it is visible
  let [watching, displayed, heard] = [false, false, 0];

  const announce = () => {
    heard = performance.now();
    model.send({ watching, displayed, client });
  };
  const look = () => {
    const before = [watching, displayed];
    watching = !document.hidden && [...views.values()].includes(true);
    displayed = views.size > 0;
    if (watching !== before[0] || displayed !== before[1]) announce();
  };
  document.addEventListener("visibilitychange", look);
  const beat = setInterval(() => watching && performance.now() - heard > QUIET && announce(), QUIET / 3);
  return {
    client,
    watching: () => watching,
    hear: () => (heard = performance.now()),
    show: (el, visible) => (views.set(el, visible), look()),
    remove: (el) => (views.delete(el), look()),
    close() {
      clearInterval(beat);
      document.removeEventListener("visibilitychange", look);
    },
  };
}

// Keys that act on the focused element here. Notebooks handle the same keys first, so an attribute suppresses
// their shortcuts for this one event. A key with a modifier (to save, to run a cell) is left to the notebook.
const OURS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown", "Enter", " "];
const AWAY = "data-lm-suppress-shortcuts";
function claim({ key, ctrlKey, altKey, metaKey, shiftKey, target }) {
  if (ctrlKey || altKey || metaKey || shiftKey || !OURS.includes(key)) return;
  if (!target.closest?.('[class*="chronoflux-"]') || target.hasAttribute(AWAY)) return;
  target.setAttribute(AWAY, "true");
  setTimeout(() => target.removeAttribute(AWAY));
}

// Reports the visibility of an element to a watcher until the returned function is called; `also` runs with
// each report.
function observe(watch, el, also = () => {}) {
  const observer = new IntersectionObserver((entries) => {
    watch.show(el, entries.at(-1).isIntersecting);
    also();
  });
  observer.observe(el);
  const keys = (event) => claim(event); // a separate function per display, so that each can be removed
  window.addEventListener("keydown", keys, true);
  return () => {
    window.removeEventListener("keydown", keys, true);
    observer.disconnect();
    watch.remove(el);
  };
}
