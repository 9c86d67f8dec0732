// Bring the verdict of an export, or the name of its file, into sight where the button above it is in sight, which takes
// the place of the progress. A person who has gone elsewhere stays there.
() => requestAnimationFrame(() => {
  const head = document.querySelector('#export-result :is(.ex-verdict, h3:not(:has(~ .ex-verdict)))');
  const top = document.getElementById('export-file')?.getBoundingClientRect().top;
  if (head && top > 0 && top < innerHeight) head.scrollIntoView({block: 'nearest', behavior: 'smooth'});
})
