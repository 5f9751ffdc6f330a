// A body as the matcher writes it.

export function bodyOf(id: number, alertCount = 1, startsAt = new Date(0)): Buffer {
  const alert = (part: number) => ({
    status: 'firing',
    labels: { alertname: 'Test', id: String(id), part: String(part) },
    annotations: { message: `record ${id}` },
    startsAt: startsAt.toISOString(),
    endsAt: '0001-01-01T00:00:00Z',
    generatorURL: '',
    fingerprint: '',
  });
  const alerts = Array.from({ length: alertCount }, (_, part) => alert(part));
  const envelope = { groupLabels: {}, commonLabels: {}, commonAnnotations: {}, externalURL: '' };
  return Buffer.from(JSON.stringify({ receiver: 'earshot', status: 'firing', alerts, ...envelope }));
}
