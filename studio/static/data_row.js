// The pane of the opened row: marks the row in the table, steps with the arrow keys, and copies the link to the row.
const pane = element.closest('#data-pane') || document;
function follow() {
  const number = pane.querySelector('#row-title [data-row]')?.dataset.row;
  const table = document.getElementById(props.table);
  const row = number && table?.querySelector(`tr[data-value="${number}"]`);
  if (row && !row.classList.contains('open')) {
    row.dispatchEvent(new CustomEvent('row-shown', {bubbles: true}));
    const wrap = row.closest('.dt-wrap'), head = wrap.querySelector('thead').offsetHeight;
    const top = row.offsetTop - head, bottom = row.offsetTop + row.offsetHeight - wrap.clientHeight;
    wrap.scrollTop = Math.max(bottom, Math.min(wrap.scrollTop, top));
  }
}
function showHit() {
  const box = element.querySelector('.qs-talk, .qs-raw'), hit = box?.querySelector('mark');
  if (hit) box.scrollTop = hit.getBoundingClientRect().top - box.getBoundingClientRect().top - 40;
}
// The title, which names the row, and the row itself may change one after the other.
new MutationObserver(follow).observe(pane, {childList: true, subtree: true});
new MutationObserver(showHit).observe(element, {childList: true});
pane.addEventListener('keydown', event => {
  const id = {ArrowDown: 'row-next', ArrowUp: 'row-previous'}[event.key];
  if (!id || !event.target.closest('#row-previous, #row-next')) return;
  event.preventDefault();
  const button = document.getElementById(id);
  button.focus();
  button.click();
});
pane.addEventListener('click', async event => {
  const link = event.target.closest('#row-title a');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const address = new URL(location.href);
  new URLSearchParams(link.getAttribute('href')).forEach((value, name) => address.searchParams.set(name, value));
  // The address bar gets the link, too, where a browser denies the clipboard.
  history.replaceState(null, '', address);
  try {
    await navigator.clipboard.writeText(address.href);
    link.textContent = 'Link copied';
  } catch {
    link.textContent = 'The link is in the address bar';
  }
});
