// Let a toast stay until its own time is over, and let a success end the error of the attempt before.
//
// Gradio (6.31) shows toasts of one kind as one group and closes all of it when the time of the first is over: a second
// error after nine seconds is in sight for one second. The timer of a group is known by its source: it closes each message.
(() => {
  const start = window.setTimeout.bind(window);
  const closes = callback => /\.forEach\(\w+=>\{\w+\.onclose\?\.\(/.test(Function.prototype.toString.call(callback));
  const known = new WeakSet();

  // Return the group whose timer has just begun, after the page has rendered it.
  function newGroup() {
    const groups = [...document.querySelectorAll('.toast-wrap [data-testid="toast-body"]')];
    const group = groups.find(one => !known.has(one));
    groups.forEach(one => known.add(one));
    if (group && group.matches('.info, .success'))
      for (const one of groups) if (one.matches('.error')) one.querySelector('[data-testid="toast-close"]').click();
    return group;
  }

  window.setTimeout = (callback, milliseconds, ...rest) => {
    if (typeof callback !== 'function' || !closes(callback)) return start(callback, milliseconds, ...rest);
    let added = performance.now();
    start(() => {
      const group = newGroup();
      if (!group) return;
      new MutationObserver(changes => {
        if (!changes.some(change => [...change.addedNodes].some(node => node.matches?.('.toast-message-item')))) return;
        added = performance.now();
        // The bar that shows the time runs again from its beginning.
        group.querySelector('.timer')?.getAnimations().forEach(animation => { animation.currentTime = 0; });
      }).observe(group, {childList: true, subtree: true});
    }, 50);
    const end = () => {
      const left = added + milliseconds - performance.now();
      if (left > 20) start(end, left); else callback();
    };
    return start(end, milliseconds);
  };
})();
