// Sizes the Chat tab to the window, and handles the keys of its prompt. Runs in the line below the prompt.
const page = document.getElementById('chat-page');
const find = selector => page.querySelector(selector);
const isShown = part => part && part.offsetParent !== null;

// The space above the tab's content and below it; the rest of the window is the conversation's (studio/static/chat.css).
function measure() {
  if (!isShown(page)) return;
  const above = page.getBoundingClientRect().top + window.scrollY;
  const footer = document.querySelector('footer');
  page.style.setProperty('--chat-outside', `${Math.ceil(above + (footer ? footer.offsetHeight : 0))}px`);
}
const sizes = new ResizeObserver(measure);
for (const part of [page, ...document.querySelectorAll('#head, #notice, #journey')]) sizes.observe(part);

// Gradio sends a prompt of several lines with Shift+Enter; here Enter sends and Shift+Enter starts a line.
find('#prompt').addEventListener('keydown', event => {
  if (event.key !== 'Enter' || event.isComposing || !event.shiftKey) return;
  const text = event.target;
  event.preventDefault();
  event.stopPropagation();
  text.setRangeText('\n', text.selectionStart, text.selectionEnd, 'end');
  text.dispatchEvent(new Event('input', {bubbles: true}));
}, true);

// Escape stops the answers. While none is written, the drawer takes it, and then the prompt gives the focus to the
// board, where the keys 1 to 4 vote.
const board = find('#chat-board');
board.tabIndex = -1;
document.addEventListener('keydown', event => {
  if (event.key !== 'Escape' || event.defaultPrevented || !page.isConnected || !isShown(page)) return;
  const stop = document.getElementById('chat-stop');
  const isInDrawer = event.target.closest('.sd-drawer, [aria-expanded="true"]');
  if (isShown(stop) && !stop.disabled && !isInDrawer) { event.preventDefault(); stop.click(); }
  else if (event.target.closest('#prompt') && !find('.sd-drawer[data-open="true"]')) board.focus({preventScroll: true});
}, true);

// Send disappears while an answer is written.
page.addEventListener('click', event => { if (event.target.closest('#send')) board.focus({preventScroll: true}); });
