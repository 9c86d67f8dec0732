// Let the clocks of Gradio's loading statuses run once per second instead of once per frame.
//
// A clock asks for the next frame as long as it runs, and the one of the page's loading screen (Gradio 6.31) is never
// stopped: a page that shows nothing new would render 60 frames per second, on the processor that the model needs.
// A clock is known by its source: it reads the time, then starts itself again.
(() => {
  const nextFrame = window.requestAnimationFrame.bind(window);
  const isClock = callback => /performance\.now\(\)[^;]*&&\s*\w+\(\)/.test(Function.prototype.toString.call(callback));
  window.requestAnimationFrame = callback =>
    isClock(callback) ? setTimeout(() => callback(performance.now()), 1000) : nextFrame(callback);
})();
