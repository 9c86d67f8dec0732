// After a call was refused: if its message names a setting that is under Settings, open the drawer at that field.
() => setTimeout(() => {
  const drawer = document.getElementById('DRAWER');
  const messages = [...document.querySelectorAll('.toast-body')].map(toast => toast.textContent).join(' ');
  for (const label of drawer.querySelectorAll('[data-testid="block-info"]')) {
    if (!messages.includes(`${label.textContent.trim()} (under Settings)`)) continue;
    drawer.dispatchEvent(new Event('drawer-open'));
    const field = label.closest('.block').querySelector('input, textarea');
    field.focus();
    field.scrollIntoView({block: 'center'});
    return;
  }
}, 100)
