// A table of rows: sends clicks and ticks to the server, and keeps scroll position and focus when it is rendered again.
const events = ['sort_by', 'pick_bar', 'drop_filter', 'open_row', 'tick_row'];
// State as this browser shows it, which a rendering that the server began earlier must not take back.
const last = {first: null, top: 0, had: false, open: null, focus: null};
// Ticks that renderings do not have yet, by key; after GIVE_UP_MS the server has refused a tick.
const sent = new Map(), GIVE_UP_MS = 10000;
const boxes = () => [...element.querySelectorAll('tbody input[data-event="tick_row"]')];
function mark(row) {
  element.querySelectorAll('tr.open').forEach(other => other.classList.remove('open'));
  row.classList.add('open');
  last.open = row.dataset.value;
}
function sendEvent(from) {
  const at = from.closest('[data-event]');
  if (!at || !element.contains(at) || !events.includes(at.dataset.event)) return;
  if (at.dataset.event === 'open_row') {
    mark(at);
    focusOn(at, document.activeElement?.closest('tr') === at);
    const detail = document.getElementById(props.detail), drawer = detail?.closest('.sd-drawer');
    if (drawer) drawer.dispatchEvent(new Event('drawer-open'));
    else if (detail && detail.getBoundingClientRect().top > innerHeight * 0.8)
      detail.scrollIntoView({block: 'start', behavior: 'smooth'});
  }
  if (at.dataset.event === 'tick_row') {
    sent.set(at.dataset.value, {on: at.checked, since: performance.now()});
    trigger('tick_row', {value: at.dataset.value, ticked: boxes().filter(box => box.checked).map(box => box.dataset.value)});
  } else trigger(at.dataset.event, {value: at.dataset.value});
}
// One row is reached by Tab, the others by the arrow keys.
function focusOn(row, focuses) {
  element.querySelectorAll('tr[tabindex="0"]').forEach(other => { other.tabIndex = -1; });
  row.tabIndex = 0;
  last.focus = row.dataset.value;
  if (focuses) row.focus();
}
function move(row, step) {
  const next = step > 0 ? row.nextElementSibling : row.previousElementSibling;
  const isOpen = element.querySelector('tr.open') && !row.closest('.cards');
  if (next?.matches('[data-event]')) {
    focusOn(next, true);
    if (isOpen) sendEvent(next);
  } else if (isOpen) trigger('step_row', {value: step});
}
element.addEventListener('click', event => sendEvent(event.target));
element.addEventListener('keydown', event => {
  const at = event.target;
  const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
  if (at.matches('tr[data-event]')) {
    const tick = at.querySelector('input');
    if (event.key === 'Enter') { event.preventDefault(); sendEvent(at); }
    else if (event.key === ' ' && tick) { event.preventDefault(); tick.click(); }
    else if (step) { event.preventDefault(); move(at, step); }
  } else if (at.matches('.dt-bar')) {
    const side = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    const next = side > 0 ? at.nextElementSibling : side && at.previousElementSibling;
    if (next) { event.preventDefault(); at.tabIndex = -1; next.tabIndex = 0; next.focus(); }
  }
});
// Gradio changes the attributes of the boxes that are there, in their order. A box that was clicked ignores its attribute,
// so without this a tick would stay at its position while the rows move.
function showTicks() {
  for (const box of boxes()) {
    const key = box.dataset.value, rendered = box.hasAttribute('checked'), mine = sent.get(key);
    const isKnown = !mine || mine.on === rendered || performance.now() - mine.since > GIVE_UP_MS;
    if (isKnown) sent.delete(key);
    box.checked = isKnown ? rendered : mine.on;
  }
}
new MutationObserver(() => { showTicks(); showEdge(); }).observe(
  element, {childList: true, subtree: true, attributes: true, attributeFilter: ['checked', 'data-value']});
// Columns beyond the right edge fade out there (data_table.css), so that a clipped table is seen to go on.
function showEdge() {
  const wrap = element.querySelector('.dt-wrap');
  if (wrap) wrap.toggleAttribute('data-more', wrap.scrollWidth - wrap.clientWidth - wrap.scrollLeft > 4);
}
element.addEventListener('scroll', showEdge, true);
new ResizeObserver(showEdge).observe(element);
// Another part of the page that shows a row sends this event to the table's row.
element.addEventListener('row-shown', event => { mark(event.target); focusOn(event.target, false); });
// A new rendering of the same rows keeps the scroll position, the open row and the focus.
element.addEventListener('scroll', event => { last.top = event.target.scrollTop; }, true);
element.addEventListener('focusin', () => { last.had = true; });
document.addEventListener('focusin', event => { if (!element.contains(event.target)) last.had = false; });
new MutationObserver(() => {
  const wrap = element.querySelector('.dt-wrap'), rows = [...element.querySelectorAll('tbody tr[data-event]')];
  const first = rows[0]?.dataset.value, find = key => rows.find(row => row.dataset.value === key);
  if (wrap && first === last.first) {
    wrap.scrollTop = last.top;
    if (find(last.open)) mark(find(last.open));
    if (find(last.focus)) focusOn(find(last.focus), false);
  } else {
    last.top = 0;
    last.open = element.querySelector('tr.open')?.dataset.value;
    last.focus = element.querySelector('tr[tabindex="0"]')?.dataset.value;
  }
  last.first = first;
  if (last.had && document.activeElement === document.body)
    element.querySelector('tr[tabindex="0"]')?.focus({preventScroll: true});
}).observe(element, {childList: true});
