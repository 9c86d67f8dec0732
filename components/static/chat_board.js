// The buttons name their event in data-event; the server is notified with the value of data-value.
const events = ['stop_lane', 'retry_lane', 'continue_answer', 'earlier_attempt', 'why', 'edit', 'vote', 'undo_vote', 'suggest'];
element.addEventListener('click', event => {
  const at = event.target.closest('[data-event]');
  if (!at || !element.contains(at)) return;
  if (at.dataset.event === 'copy') {
    navigator.clipboard.writeText(at.closest('.lb-card').querySelector('.lb-text').textContent);
    at.textContent = 'Copied';
    setTimeout(() => { at.textContent = 'Copy'; }, 1200);
    return;
  }
  if (!events.includes(at.dataset.event)) return;
  trigger(at.dataset.event, {value: at.dataset.value});
  // The board is rendered again once the answer has ended, which takes seconds while a model is loaded.
  if (at.dataset.event === 'stop_lane') { at.textContent = 'Stopping…'; at.disabled = true; }
});
// The keys 1 to 4 vote, unless text is being typed. A board that was removed leaves its listener, hence isConnected.
document.addEventListener('keydown', event => {
  if (!element.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest('input, textarea, [contenteditable]')) return;
  const button = element.querySelector(`[data-event="vote"][data-key="${CSS.escape(event.key)}"]`);
  if (button && button.offsetParent) { event.preventDefault(); button.click(); }
});
// The window is visible again: another page may have changed this conversation meanwhile.
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && element.isConnected && element.offsetParent) trigger('returned', {});
});
// Follow new text while the reader is at the end; leave a reader who has scrolled up where they are. On a phone the
// page scrolls instead of the board, and stays where it is until a question is asked on it.
const box = element.closest('.lb-scroll');
const scroller = () => getComputedStyle(box).overflowY === 'visible' ? document.scrollingElement : box;
if (box) {
  let atEnd = true, live = '';
  const look = () => {
    if (box.offsetParent === null) return;
    const at = scroller();
    atEnd = at.scrollHeight - at.scrollTop - at.clientHeight < 48;
  };
  const toEnd = () => {
    if (box.offsetParent === null) return;
    const now = element.querySelector('[data-live]')?.dataset.live || '';
    if (now && now !== live) atEnd = true;
    live = now || live;
    if (atEnd && (scroller() === box || live)) scroller().scrollTop = scroller().scrollHeight;
  };
  for (const part of [box, document]) part.addEventListener('scroll', look, {passive: true});
  new MutationObserver(toEnd).observe(element, {childList: true, characterData: true, subtree: true});
  // The tab was hidden when the conversation was rendered.
  new ResizeObserver(toEnd).observe(box);
}
// A button that is rendered again keeps the focus; where it is gone, the first button of its card or of the vote takes it.
let focused = null;
document.addEventListener('focusin', event => {
  const at = element.contains(event.target) && event.target.closest('[data-event]');
  focused = at ? {...at.dataset} : null;
});
new MutationObserver(() => {
  if (!focused || document.activeElement !== document.body) return;
  const value = CSS.escape(focused.value || '');
  const same = element.querySelector(`[data-event="${focused.event}"][data-value="${value}"]`);
  const others = [`[data-card="${value}"] button`, '.lb-turn:last-child .lb-vote button', '.lb-turn:last-child button'];
  (same || others.map(other => element.querySelector(other)).find(Boolean))?.focus();
}).observe(element, {childList: true, subtree: true});
