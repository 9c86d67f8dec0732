() => requestAnimationFrame(() => document.getElementById('copy-of')?.scrollIntoView({block: 'nearest'}))
