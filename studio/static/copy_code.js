// Copies the code that follows the heading of the pressed button.
element.addEventListener('click', async event => {
  const button = event.target.closest('.ex-copy');
  if (!button) return;
  let code = button.parentElement;
  while (code.tagName !== 'PRE') code = code.nextElementSibling;
  await navigator.clipboard.writeText(code.textContent);
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy'; }, 1200);
});
