// Runs in the head of a drawer; the drawer's button has its id with -open appended.
const drawer = element.closest('.sd-drawer');
const button = () => document.getElementById(`${drawer.id}-open`);
const isOpen = () => drawer.dataset.open === 'true';

function setOpen(open) {
  // Attributes that no component sets, so that none of them resets the drawer.
  drawer.dataset.open = open;
  button()?.setAttribute('aria-expanded', open);
}

// The control that opened the drawer gets the focus back: its button or, if it has none, the control that had the focus.
let opener = null;

function close() {
  setOpen(false);
  (button() || (opener?.isConnected ? opener : null))?.focus();
}

function open() {
  // One drawer at a time.
  for (const other of document.querySelectorAll('.sd-drawer[data-open="true"]')) other.dispatchEvent(new Event('drawer-close'));
  opener = document.activeElement;
  setOpen(true);
  drawer.scrollTop = 0;
  element.querySelector('.sd-close').focus({preventScroll: true});
}

drawer.setAttribute('role', 'region');
drawer.setAttribute('aria-label', element.querySelector('h3').textContent);
button()?.setAttribute('aria-controls', drawer.id);
setOpen(false);
element.addEventListener('click', event => { if (event.target.closest('.sd-close')) close(); });
drawer.addEventListener('drawer-open', () => { if (!isOpen()) open(); });
drawer.addEventListener('drawer-close', () => setOpen(false));
document.addEventListener('click', event => {
  const pressed = event.target.closest('button');
  if (drawer.isConnected && pressed && pressed === button()) { if (isOpen()) close(); else open(); }
});
// An open list inside the drawer takes Escape for itself first.
document.addEventListener('keydown', event => {
  const isInList = event.target.closest('[aria-expanded="true"][role="listbox"], [aria-expanded="true"][role="combobox"]');
  if (event.key !== 'Escape' || event.defaultPrevented || isInList) return;
  if (drawer.getClientRects().length && isOpen()) { event.preventDefault(); close(); }
});
