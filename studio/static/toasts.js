// Let a toast stay until its own time is over, let a success end the error of the attempt before, and keep toasts away from
// the controls: they are at the end of the window where they cover fewer, never over the one that has the focus, and a
// press on a toast closes it.
//
// Gradio (6.31) shows toasts of one kind as one group and closes all of it when the time of the first is over: a second
// error after nine seconds is in sight for one second. The timer of a group is known by its source: it closes each message.
(() => {
  const start = window.setTimeout.bind(window);
  const closes = callback => /\.forEach\(\w+=>\{\w+\.onclose\?\.\(/.test(Function.prototype.toString.call(callback));
  const known = new WeakSet();

  const CONTROLS = 'button, a, input, textarea, select, summary, [role="tab"]';
  const OVER_FOCUS = 1000;

  function meet(control, box) {
    const {top, bottom, left, right, width} = control.getBoundingClientRect();
    return width && bottom > box.top && top < box.bottom && right > box.left && left < box.right;
  }

  // Put the toasts at the end of the window where they cover fewer controls.
  function place(wrap) {
    const controls = [...document.querySelectorAll(CONTROLS)].filter(one => !wrap.contains(one) && one.checkVisibility());
    const costs = ['top', 'bottom'].map(side => {
      wrap.dataset.side = side;
      const box = wrap.getBoundingClientRect(), covered = controls.filter(one => meet(one, box));
      return [covered.length + (covered.includes(document.activeElement) ? OVER_FOCUS : 0), side];
    });
    wrap.dataset.side = costs[0][0] <= costs[1][0] ? 'top' : 'bottom';
  }
  window.addEventListener('focusin', event => {
    const wrap = document.querySelector('.toast-wrap');
    if (wrap?.firstElementChild && !wrap.contains(event.target) && meet(event.target, wrap.getBoundingClientRect())) place(wrap);
  }, true);
  window.addEventListener('click', event => {
    const toast = event.target.closest?.('.toast-wrap .toast-body');
    // Its text can be selected and copied.
    if (toast && !event.target.closest('a, button') && getSelection().isCollapsed)
      toast.querySelector('[data-testid="toast-close"]')?.click();
  }, true);

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
      place(group.closest('.toast-wrap'));
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
