// A worker that says when time has passed: browsers slow down the timers of hidden pages, but not of workers.
setInterval(() => postMessage(0), 20);
