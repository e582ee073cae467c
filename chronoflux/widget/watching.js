// What the panes over pictures share (frames.js, space.js): telling the kernel whether anybody can see them,
// and the keyboard.

const QUIET = 3000; // ms without a frame after which a watching page says so again

// For `model.send`: what it sends leaves the kernel's state as it is shown. Else JupyterLab would show it busy
// and idle by turns at each frame, icons and toolbar, which takes it longer than all of our drawing.
const quietly = ({ widget_manager: { kernel } }) => ({
  iopub: { status: (message) => (message.content.execution_state = kernel?.status ?? "idle") },
});

// Watches over all displays of `model` on this page. `show` and `remove` are told of an element; `hear` of
// each frame.
function watcher(model) {
  const client = Math.random().toString(36).slice(2);
  const views = new Map(); // element → whether it can be seen
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

// Keys that move what has the focus here. Notebooks have uses of their own for them, and look first: they are
// asked to look away for this once. With a modifier (to save, to run a cell) a key stays theirs.
const OURS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown", "Enter", " "];
const AWAY = "data-lm-suppress-shortcuts";
function claim({ key, ctrlKey, altKey, metaKey, shiftKey, target }) {
  if (ctrlKey || altKey || metaKey || shiftKey || !OURS.includes(key)) return;
  if (!target.closest?.('[class*="chronoflux-"]') || target.hasAttribute(AWAY)) return;
  target.setAttribute(AWAY, "true");
  setTimeout(() => target.removeAttribute(AWAY));
}

// Has a watcher told of an element, until what is returned is called; `also` runs with each report.
function observe(watch, el, also = () => {}) {
  const observer = new IntersectionObserver((entries) => {
    watch.show(el, entries.at(-1).isIntersecting);
    also();
  });
  observer.observe(el);
  const keys = (event) => claim(event); // one of its own for each display
  window.addEventListener("keydown", keys, true);
  return () => {
    window.removeEventListener("keydown", keys, true);
    observer.disconnect();
    watch.remove(el);
  };
}
