"""Put and Get: files onto the node and back.

`transfers` answers the calls, `stored` collects a file on its way in, `found` opens those on their way out. Callers
name paths: `territory` walks them without following a link.
"""
