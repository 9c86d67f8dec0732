// The buttons name their event in data-event; the server hears of it with the value of data-value.
const events = ['stop_lane', 'retry_lane', 'continue_answer', 'earlier_try', 'why', 'edit', 'vote', 'undo_vote', 'suggest'];
element.addEventListener('click', event => {
  const at = event.target.closest('[data-event]');
  if (!at || !element.contains(at)) return;
  if (at.dataset.event === 'copy') {
    navigator.clipboard.writeText(at.closest('.lb-card').querySelector('.lb-text').textContent);
    at.textContent = 'Copied';
    setTimeout(() => { at.textContent = 'Copy'; }, 1200);
  } else if (events.includes(at.dataset.event)) trigger(at.dataset.event, {value: at.dataset.value});
});
// The keys 1 to 4 vote, unless text is being typed. A board that was removed leaves its listener, hence isConnected.
document.addEventListener('keydown', event => {
  if (!element.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest('input, textarea, [contenteditable]')) return;
  const button = element.querySelector(`[data-event="vote"][data-key="${event.key}"]`);
  if (button && button.offsetParent) { event.preventDefault(); button.click(); }
});
// The window is visible again: another page may have changed this conversation meanwhile.
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && element.isConnected && element.offsetParent) trigger('returned', {});
});
// Follow new text while the reader is at the end; leave a reader who has scrolled up where they are.
const scroller = element.closest('.lb-scroll');
if (scroller) {
  let atEnd = true;
  scroller.addEventListener('scroll', () => {
    atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 48;
  });
  new MutationObserver(() => { if (atEnd) scroller.scrollTop = scroller.scrollHeight; })
    .observe(element, {childList: true, characterData: true, subtree: true});
}
