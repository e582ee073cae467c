// The page's end of space.py: an unseen pane over a picture in space, that says whether anybody can see it,
// and confirms each frame when it has been drawn.

const QUIET = 3000; // ms without a frame after which a watching page says so again

const panes = new Map(); // by model: what `initialize` and `render` share

function initialize({ model }) {
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
  const receive = ({ frame }) => {
    heard = performance.now();
    // What is to be drawn came before this message; it is drawn in the next frame of the browser.
    requestAnimationFrame(() => requestAnimationFrame(() => model.send({ shown: frame, client })));
  };
  panes.set(model.get("name"), {
    show: (el, visible) => (views.set(el, visible), look()),
    remove: (el) => (views.delete(el), look()),
  });
  model.on("msg:custom", receive);
  document.addEventListener("visibilitychange", look);
  const beat = setInterval(() => watching && performance.now() - heard > QUIET && announce(), QUIET / 3);
  return () => {
    clearInterval(beat);
    document.removeEventListener("visibilitychange", look);
    model.off("msg:custom", receive);
    panes.delete(model.get("name"));
  };
}

function render({ model, el }) {
  const pane = panes.get(model.get("name"));
  const observer = new IntersectionObserver((entries) => pane.show(el, entries.at(-1).isIntersecting));
  observer.observe(el);
  return () => {
    observer.disconnect();
    pane.remove(el);
  };
}

export default { initialize, render };
