// A click on a button opens its tab. While something works, the bar's data-active names it; when a name moves from there
// to data-ended, the title gets a mark, and a notification is shown if the user has asked for one.
const plainTitle = document.title;
let active = [];
let wanted = false;

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

function update() {
  const bar = element.querySelector('.jb[data-active]');
  if (!bar) return;
  const ended = JSON.parse(bar.dataset.ended);
  for (const name of active) if (name in ended) announce(name, ended[name]);
  active = JSON.parse(bar.dataset.active);
  const notify = bar.querySelector('.jb-notify');
  // Without HTTPS or loopback, browsers have no notifications.
  if (notify) notify.hidden = !('Notification' in window) || wanted || Notification.permission === 'denied';
}

new MutationObserver(update).observe(element, {childList: true, subtree: true});
document.addEventListener('visibilitychange', () => { if (!document.hidden) document.title = plainTitle; });
update();
