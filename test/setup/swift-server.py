"""Serves OpenStack Swift with its S3 API: proxy, account, container and object server in one process, objects in memory.

Arguments: an empty directory, a port, the access key, the secret key, and the region.
"""

import os
import sys

import eventlet

eventlet.monkey_patch()

from eventlet import wsgi  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import SwiftHttpProtocol, loadapp  # noqa: E402

directory, port, access_key, secret_key, region = sys.argv[1:]
account, user = access_key.split(':')


def write(name, text):
    path = os.path.join(directory, name)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return path


write('swift.conf', '[swift-hash]\nswift_hash_path_suffix = tests\n[storage-policy:0]\nname = one\ndefault = yes\n')
utils.set_swift_dir(directory)
common = f'[DEFAULT]\nswift_dir = {directory}\ndevices = {directory}/nodes\nmount_check = false\nlog_level = ERROR\n'
os.makedirs(os.path.join(directory, 'nodes', 'one'))


class Cache:
    """Stands in for memcached, which the proxy asks for its tokens and for what it knows about containers."""

    def __init__(self):
        self.values = {}

    def get(self, key, **options):
        return self.values.get(key)

    def set(self, key, value, **options):
        self.values[key] = value

    def incr(self, key, delta=1, **options):
        self.values[key] = self.values.get(key, 0) + int(delta)
        return self.values[key]

    def delete(self, key, **options):
        self.values.pop(key, None)


cache = Cache()


def serve(listener, configuration):
    inner = loadapp(configuration)

    def app(environ, start_response):
        environ['swift.cache'] = cache
        return inner(environ, start_response)

    log = open(os.devnull, 'w', encoding='utf-8')
    return eventlet.spawn(wsgi.server, listener, app, log, protocol=SwiftHttpProtocol, max_size=256)


for kind, app in {'account': 'account', 'container': 'container', 'object': 'mem_object'}.items():
    listener = eventlet.listen(('127.0.0.1', 0))
    builder = RingBuilder(0, 1, 0)
    device = {'id': 0, 'region': 1, 'zone': 1, 'weight': 1, 'device': 'one', 'meta': ''}
    address = {'ip': '127.0.0.1', 'port': listener.getsockname()[1]}
    replication = {f'replication_{name}': value for name, value in address.items()}
    builder.add_dev({**device, **address, **replication})
    builder.rebalance()
    builder.get_ring().save(os.path.join(directory, f'{kind}.ring.gz'))
    text = f'{common}[pipeline:main]\npipeline = server\n[app:server]\nuse = egg:swift#{app}\n'
    serve(listener, write(f'{kind}-server.conf', text))

proxy = f'''{common}
[pipeline:main]
pipeline = catch_errors proxy-logging listing_formats s3api tempauth bulk slo dlo copy proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = {region}
s3_acl = false
dns_compliant_bucket_names = true
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {secret_key} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:copy]
use = egg:swift#copy
'''
serve(eventlet.listen(('127.0.0.1', int(port))), write('proxy-server.conf', proxy)).wait()
