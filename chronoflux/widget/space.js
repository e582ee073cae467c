// The page's end of space.py, after watching.js: an unseen pane over a picture in space, that says whether
// anybody can see it, and confirms each frame when it has been drawn.

const panes = new Map(); // by model: what `initialize` and `render` share

function initialize({ model }) {
  const watch = watcher(model);
  const receive = ({ frame }) => {
    watch.hear();
    // What is to be drawn came before this message; it is drawn in the next frame of the browser.
    const shown = () => model.send({ shown: frame, client: watch.client }, quietly(model));
    requestAnimationFrame(() => requestAnimationFrame(shown));
  };
  panes.set(model.get("name"), watch);
  model.on("msg:custom", receive);
  return () => {
    watch.close();
    model.off("msg:custom", receive);
    panes.delete(model.get("name"));
  };
}

function render({ model, el }) {
  return observe(panes.get(model.get("name")), el);
}

export default { initialize, render };
