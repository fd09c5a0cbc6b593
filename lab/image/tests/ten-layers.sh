# An image of many layers, oci:ten, and what umoci makes of it: bundle/rootfs. Run by unpacked.rs.
umoci init --layout oci
umoci new --image oci:ten
umoci unpack --image oci:ten bundle
root=bundle/rootfs
layer() { umoci repack --refresh-bundle --image oci:ten bundle; }
add() { umoci raw add-layer --image oci:ten "$1"; }
again() { rm -rf bundle; umoci unpack --image oci:ten bundle; }

# 1: every kind of file.
mkdir -p $root/bin $root/usr/lib/deep/deeper $root/etc $root/dev $root/old/a/b $root/gone $root/tmp $root/ln
cp /bin/busybox $root/bin/busybox; ln $root/bin/busybox $root/bin/sh; ln $root/bin/busybox $root/bin/ls
ln -s /bin/busybox $root/usr/absolute; ln -s ../bin/busybox $root/usr/relative; ln -s nowhere $root/dangling
ln -s usr/lib $root/lib
chmod 4755 $root/bin/busybox; chmod 1777 $root/tmp; chmod 2750 $root/etc
mknod $root/dev/null c 1 3; mknod $root/dev/loop b 7 300; mkfifo -m 600 $root/dev/fifo; chown 5:6 $root/dev/null
echo hosts >$root/etc/hosts; chown 1000:70000 $root/etc/hosts; touch -d '1960-01-02 03:04:05.678' $root/etc/hosts
echo passwd >$root/etc/passwd; : >$root/etc/empty
long=$(printf 'n%.0s' $(seq 200)); mkdir -p $root/long/$long/$long; echo long >$root/long/$long/$long/$long
ln -s $long/$long/$long $root/long/link
printf x >"$root/etc/$(printf 'not utf-8 \377 \n name')"
setfattr -n user.binary -v 0x0a3d20000aff $root/etc/hosts; setfattr -n trusted.mine -v yes $root/gone
echo ping >$root/bin/ping; chmod 6711 $root/bin/ping
setfattr -n security.capability -v 0x010000020a040000000000000000000000000000 $root/bin/ping
for each in 1 2 3; do echo $each >$root/old/a/$each; echo $each >$root/gone/$each; ln $root/gone/$each $root/ln/$each; done
layer
# 2: something is removed and changed.
rm $root/etc/passwd $root/dev/fifo $root/usr/relative; echo more >>$root/etc/hosts; rm -r $root/gone
layer
# 3: a file becomes a directory, a directory a file, a directory another one.
rm $root/etc/empty; mkdir $root/etc/empty; echo in >$root/etc/empty/in; rm -r $root/old/a/b; echo b >$root/old/a/b
rm -r $root/tmp; mkdir -m 700 $root/tmp; echo new >$root/tmp/new; mkdir $root/gone; echo back >$root/gone/back
layer
# 4: an opaque directory, with what is new in it before and after the mark, and a whiteout that is needless there.
mkdir -p four/old/a four/ln; echo new >four/old/a/new; echo z >four/old/a/z; : >four/old/a/.wh..wh..opq; : >four/ln/.wh.1
: >four/old/a/.wh.2
tar -C four -cf four.tar old/a/new old/a/.wh.2 old/a/.wh..wh..opq old/a/z ln/.wh.1
add four.tar
# 5: names through a link of a layer below, and directories that the archive does not describe.
mkdir -p five/lib/deep/deeper; echo through >five/lib/deep/through; echo x >five/lib/deep/deeper/x
tar -C five -cf five.tar lib/deep/through lib/deep/deeper/x
add five.tar
# 6: a hard link to a file of a layer below.
mkdir -p six/bin six/lib; echo six >six/bin/ping; ln six/bin/ping six/lib/ping
tar -C six -cf six.tar bin/ping lib/ping; tar --delete -f six.tar bin/ping
add six.tar
# 7: sparse files in the forms of PAX.
mkdir sparse
for form in 0.0 0.1 1.0; do
    truncate -s 1M sparse/$form
    for at in 5 60 61 200; do printf data-$at | dd of=sparse/$form bs=4096 seek=$at conv=notrunc status=none; done
    tar --sparse --format=pax --sparse-version=$form -cf $form.tar sparse/$form
done
tar --no-recursion --format=pax -cf seven.tar sparse
for form in 0.0 0.1 1.0; do tar --concatenate -f seven.tar $form.tar; done
add seven.tar
# 8: long names as GNU tar writes them, and a mark before and after what is in its place.
again
mkdir -p eight/long; echo gnu >eight/long/$(printf 'g%.0s' $(seq 150)); ln -s $(printf 'g%.0s' $(seq 150)) eight/long/gnu
mkdir -p eight/usr/lib; : >eight/usr/.wh.lib; echo only >eight/usr/lib/only; : >eight/dev.wh; mkdir eight/dev; : >eight/dev/.wh.null
tar -C eight --format=gnu -cf eight.tar long usr/.wh.lib usr/lib dev
add eight.tar
# 9: the other order.
mkdir -p nine/etc/empty nine/usr/lib; echo other >nine/etc/empty/other; : >nine/etc/.wh.empty; : >nine/.wh.dangling; echo d >nine/dangling
tar -C nine -cf nine.tar etc/empty etc/.wh.empty dangling .wh.dangling
# umoci gives the directory the time of the removal in it.
tar -C nine --no-recursion --append -f nine.tar etc/empty
add nine.tar
# 10: the root itself.
again
chmod 0750 $root; chown 7:8 $root; echo ten >$root/ten; rm -r $root/ln
layer
again
