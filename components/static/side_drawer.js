// Runs in the head of a drawer; the drawer's button has its id with -open appended.
const drawer = element.closest('.sd-drawer');
const button = () => document.getElementById(`${drawer.id}-open`);
const isOpen = () => drawer.dataset.open === 'true';

function setOpen(open) {
  // Attributes that no component sets, so that none of them resets the drawer.
  drawer.dataset.open = open;
  button()?.setAttribute('aria-expanded', open);
}

function close() {
  setOpen(false);
  button()?.focus();
}

function open() {
  setOpen(true);
  element.querySelector('.sd-close').focus({preventScroll: true});
}

drawer.setAttribute('role', 'region');
drawer.setAttribute('aria-label', element.querySelector('h3').textContent);
button()?.setAttribute('aria-controls', drawer.id);
setOpen(false);
element.addEventListener('click', event => { if (event.target.closest('.sd-close')) close(); });
drawer.addEventListener('drawer-open', () => { if (!isOpen()) open(); });
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
