// The page's side of space_view.py, loaded after watching.js: a transparent pane over the plot that reports whether
// it is visible, and confirms each frame when it has been drawn.

const panes = new Map(); // pane name → watcher, shared by `initialize` and `render`

function initialize({ model }) {
  const watch = watcher(model);
  const receive = ({ frame }) => {
    watch.heard();
    // The data came before this message; the browser draws them in its next frame.
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
