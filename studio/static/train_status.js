// Shows the run before the form on a phone while it waits or works, and counts the seconds of what its worker does.
const row = document.getElementById('train-row'), ACTIVE = '.queued, .preparing, .running, .stopping';
let since = null, began = 0, isInForm = false;

// The server sends a status only if it has changed; in between the seconds are this browser's.
function count() {
  const shown = element.querySelector('.qs-so-far');
  if (!shown) { since = null; return; }
  const key = `${shown.dataset.since} ${shown.dataset.age}`;
  if (key !== since) { since = key; began = performance.now() - 1000 * shown.dataset.age; }
  const seconds = Math.floor((performance.now() - began) / 1000);
  const text = seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
  if (shown.textContent !== `${text} in this stage`) shown.textContent = `${text} in this stage`;
}
setInterval(count, 1000);

// The order changes only while the tab is closed, or while the person does nothing in the form: it would jump under them.
function order() {
  const isActive = Boolean(element.querySelector(`.qs-badge:is(${ACTIVE})`)), isHidden = !row.getClientRects().length;
  if (isHidden) isInForm = false;
  if (isActive && !isInForm) row.dataset.runFirst = '';
  else if (!isActive && isHidden) delete row.dataset.runFirst;
}
const form = row.firstElementChild;
for (const name of ['pointerdown', 'focusin']) {
  row.addEventListener(name, event => {
    isInForm = form.contains(event.target) && !event.target.closest('#start, #start-anyway');
  });
}
new MutationObserver(() => { count(); order(); }).observe(
  element, {childList: true, subtree: true, attributes: true, attributeFilter: ['class', 'data-since', 'data-age']});
new ResizeObserver(order).observe(row);
count();
order();
