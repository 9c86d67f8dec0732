// A click on a button opens its tab. While something works, the bar's data-active names it; when a name moves from there
// to data-ended, the title gets a mark, and a notification is shown if the user has asked for one.
const plainTitle = document.title;
let active = [];
let wanted = false;
// The lists in which the buttons choose; the Data tab's button also opens a tool there, so it always stays.
const LISTS = {train: '#run', chat: '#lane-run-2', evaluate: '#evaluate-field-run', export: '#export-run'};
const RECHECK_MS = 500;

element.addEventListener('click', event => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.classList.contains('jb-notify')) {
    Notification.requestPermission().then(answer => { wanted = answer === 'granted'; update(); });
  } else {
    const {tab, subset = '', run = '', dataset = ''} = button.dataset;
    trigger('go', {tab, subset, run, dataset});
  }
});

function announce(name, status) {
  // A user who is looking at the page sees it there anyway.
  if (!document.hidden) return;
  document.title = `(${status}) ${plainTitle}`;
  if (wanted) new Notification(`${name}: ${status}`, {body: plainTitle});
}

// A change of an attribute to the same value would be observed, too.
function hide(button, isHidden) {
  if (button.hidden !== isHidden) button.hidden = isHidden;
}

// A button whose tab is open with its run or subset chosen would do nothing.
function hideWhatIsChosen() {
  for (const button of element.querySelectorAll('.jb-do')) {
    const {tab, subset, chosen} = button.dataset;
    const input = tab in LISTS && document.querySelector(`${subset ? '#train-field-subset' : LISTS[tab]} input`);
    hide(button, Boolean(input && input.getClientRects().length && input.value.startsWith(chosen)));
  }
}

function update() {
  const bar = element.querySelector('.jb[data-active]');
  if (!bar) return;
  const ended = JSON.parse(bar.dataset.ended);
  for (const name of active) if (name in ended) announce(name, ended[name]);
  active = JSON.parse(bar.dataset.active);
  const notify = bar.querySelector('.jb-notify');
  // Without HTTPS or loopback, browsers have no notifications.
  if (notify) hide(notify, !('Notification' in window) || wanted || Notification.permission === 'denied');
  hideWhatIsChosen();
}

// Gradio changes only what differs of a new bar, which may be attributes alone.
new MutationObserver(update).observe(element, {
  childList: true, subtree: true, attributes: true, attributeFilter: ['data-active', 'data-ended', 'data-chosen', 'hidden'],
});
// Neither an open tab nor a value that the server chose is an event.
setInterval(hideWhatIsChosen, RECHECK_MS);
document.addEventListener('visibilitychange', () => { if (!document.hidden) document.title = plainTitle; });
// What the bar offers may have been deleted in another window.
let left = false;
window.addEventListener('blur', () => { left = true; });
window.addEventListener('focus', () => { if (left) trigger('returned'); left = false; });
update();
