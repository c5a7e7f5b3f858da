// Serves OHIF's ready-made files and, at the same origin, the DICOMweb interface of a PACS.
// usage: node serve.mjs DIST PORT APP_CONFIG PACS_PORT
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const [, , dist, port, appConfig, pacsPort] = process.argv;
const TYPES = {
  '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css', '.html': 'text/html',
  '.wasm': 'application/wasm', '.json': 'application/json', '.svg': 'image/svg+xml', '.png': 'image/png',
};

function toPacs(request, response) {
  // The PACS writes its addresses into its answers; they must be those of this server.
  const headers = { ...request.headers, forwarded: `host=127.0.0.1:${port};proto=http` };
  delete headers.host;
  const options = { host: '127.0.0.1', port: pacsPort, path: request.url, method: request.method, headers };
  const onward = http.request(options, (answer) => {
    response.writeHead(answer.statusCode, { ...answer.headers, 'Cross-Origin-Resource-Policy': 'same-origin' });
    answer.pipe(response);
  });
  onward.on('error', (error) => { response.writeHead(502); response.end(String(error)); });
  request.pipe(onward);
}

function fromDisk(address, response) {
  let file = path.join(dist, path.normalize(address));
  if (address === '/app-config.js') file = appConfig;
  if (!fs.existsSync(file) || fs.statSync(file).isDirectory()) file = path.join(dist, 'index.html');
  response.writeHead(200, {
    'Content-Type': TYPES[path.extname(file)] || 'application/octet-stream',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
    'Cache-Control': 'no-store',
  });
  fs.createReadStream(file).pipe(response);
}

http.createServer((request, response) => {
  const address = decodeURIComponent(request.url.split('?')[0]);
  if (/^\/(dicom-web|wado)/.test(address)) toPacs(request, response);
  else fromDisk(address, response);
}).listen(Number(port), '127.0.0.1', () => console.log('listening'));
