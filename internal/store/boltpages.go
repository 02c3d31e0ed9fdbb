package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// pages reads a bbolt file by itself, before bbolt maps it into memory. bbolt trusts what is in a page: a
// flipped offset makes it read outside of the mapping, and that ends the whole process (its own tx.Check does
// so too, in a goroutine in which nobody can recover). Here a wrong number is an error.
//
// The format: https://pkg.go.dev/go.etcd.io/bbolt/internal/common. Numbers are in the order of the machine.
type pages struct {
	file io.ReaderAt
	size int64 // of a page
	high uint64
	used []bool // by page number: reached from the root, or free
}

const (
	pageHeader  = 16
	elementSize = 16
	metaSize    = 64

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	bucketElement = 0x01
)

var native = binary.NativeEndian

// checkPages tells what is wrong with the structure of a bbolt file. Unless deep, it looks only at what is
// needed to open it; the time for a deep look grows with the file.
func checkPages(file io.ReaderAt, fileSize int64, deep bool) error {
	m, err := newestMeta(file)
	if err != nil {
		return err
	}
	if m.high > uint64(fileSize/m.pageSize) {
		return fmt.Errorf("it is cut off: %d bytes are left of at least %d", fileSize, m.high*uint64(m.pageSize))
	}
	p := &pages{file: file, size: m.pageSize, high: m.high, used: make([]bool, m.high)}
	if err := p.freelist(m.freelist); err != nil {
		return err
	}
	if !deep {
		_, err := p.read(m.root)
		return err
	}
	if err := p.tree(m.root, nil, nil); err != nil {
		return err
	}
	for id := uint64(2); id < p.high; id++ {
		if !p.used[id] {
			return fmt.Errorf("page %d is neither used nor free", id)
		}
	}
	return nil
}

type meta struct {
	pageSize             int64
	root, freelist, high uint64
	txid                 uint64
}

// newestMeta wants both meta pages to be whole. bbolt would be content with the older one, and so lose the last
// confirmation without a word. It needs that for a half-written meta page, but one sector holds all of it.
func newestMeta(file io.ReaderAt) (meta, error) {
	first, err := readMeta(file, 0)
	if err != nil {
		return meta{}, fmt.Errorf("meta page 0: %w", err)
	}
	second, err := readMeta(file, first.pageSize)
	if err != nil {
		return meta{}, fmt.Errorf("meta page 1: %w", err)
	}
	if second.pageSize != first.pageSize {
		return meta{}, errors.New("the meta pages name two sizes of a page")
	}
	if second.txid > first.txid {
		return second, nil
	}
	return first, nil
}

func readMeta(file io.ReaderAt, at int64) (meta, error) {
	var raw [pageHeader + metaSize]byte
	if _, err := file.ReadAt(raw[:], at); errors.Is(err, io.EOF) {
		return meta{}, errors.New("the file ends before it")
	} else if err != nil {
		return meta{}, err
	}
	b := raw[pageHeader:]
	if native.Uint32(b) != 0xED0CDAED || native.Uint32(b[4:]) != 2 {
		return meta{}, errors.New("not one of bbolt's")
	}
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	if sum.Sum64() != native.Uint64(b[metaSize-8:]) {
		return meta{}, errors.New("wrong checksum")
	}
	m := meta{
		pageSize: int64(native.Uint32(b[8:])),
		root:     native.Uint64(b[16:]),
		freelist: native.Uint64(b[32:]),
		high:     native.Uint64(b[40:]),
		txid:     native.Uint64(b[48:]),
	}
	if m.pageSize < 512 || m.pageSize > 1<<24 {
		return meta{}, fmt.Errorf("a page of %d bytes", m.pageSize)
	}
	return m, nil
}

// read gives a page with its overflow and marks it as used: a second use is damage, and would be a loop.
func (p *pages) read(id uint64) (page, error) {
	if id < 2 || id >= p.high {
		return nil, fmt.Errorf("page %d does not exist", id)
	}
	header := make(page, pageHeader)
	if _, err := p.file.ReadAt(header, int64(id)*p.size); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	more := uint64(header.overflow())
	if header.id() != id || id+more >= p.high {
		return nil, fmt.Errorf("page %d is not what was written there", id)
	}
	for i := id; i <= id+more; i++ {
		if p.used[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		p.used[i] = true
	}
	whole := make(page, int64(more+1)*p.size)
	if _, err := p.file.ReadAt(whole, int64(id)*p.size); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return whole, nil
}

func (p *pages) freelist(id uint64) error {
	list, err := p.read(id)
	if err != nil {
		return fmt.Errorf("list of free pages: %w", err)
	}
	if list.flags() != freelistPage {
		return fmt.Errorf("page %d is not the list of free pages", id)
	}
	free := list[pageHeader:]
	n := uint64(list.count())
	if n == 0xFFFF { // does not fit into the header: the first entry is the count
		n, free = native.Uint64(free), free[8:]
	}
	if n > uint64(len(free)/8) {
		return errors.New("the list of free pages is longer than its page")
	}
	for i := range n {
		id := native.Uint64(free[8*i:])
		if id < 2 || id >= p.high || p.used[id] {
			return fmt.Errorf("page %d cannot be free", id)
		}
		p.used[id] = true
	}
	return nil
}

// tree checks the page and all under it. Its keys are at least low and less than high (nil: no such bound).
func (p *pages) tree(id uint64, low, high []byte) error {
	node, err := p.read(id)
	if err != nil {
		return err
	}
	switch {
	case node.flags() == leafPage:
		err = p.leaf(node, low, high)
	case node.flags() == branchPage && node.count() > 0:
		err = p.branch(node, low, high)
	default:
		err = fmt.Errorf("has the type %#x", node.flags())
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

func (p *pages) branch(node page, low, high []byte) error {
	keys, err := node.keys(low, high)
	if err != nil {
		return err
	}
	for i := range keys {
		end := high
		if i+1 < len(keys) {
			end = keys[i+1]
		}
		if err := p.tree(native.Uint64(node.element(i)[8:]), keys[i], end); err != nil {
			return err
		}
	}
	return nil
}

func (p *pages) leaf(node page, low, high []byte) error {
	keys, err := node.keys(low, high)
	if err != nil {
		return err
	}
	for i := range keys {
		e := node.element(i)
		if native.Uint32(e)&bucketElement == 0 {
			continue
		}
		start := int64(native.Uint32(e[4:])) + int64(native.Uint32(e[8:]))
		if err := p.bucket(e[start : start+int64(native.Uint32(e[12:]))]); err != nil {
			return err
		}
	}
	return nil
}

// bucket is a pair of numbers; a small one carries its only page behind them.
func (p *pages) bucket(b page) error {
	if len(b) < 16 {
		return errors.New("half a bucket")
	}
	if root := native.Uint64(b); root != 0 {
		return p.tree(root, nil, nil)
	}
	inline := b[16:]
	if len(inline) < pageHeader || inline.flags() != leafPage {
		return errors.New("a bucket without a page")
	}
	return p.leaf(inline, nil, nil)
}

// page is the bytes of a page, its overflow included.
type page []byte

func (b page) id() uint64       { return native.Uint64(b) }
func (b page) flags() uint16    { return native.Uint16(b[8:]) }
func (b page) count() int       { return int(native.Uint16(b[10:])) }
func (b page) overflow() uint32 { return native.Uint32(b[12:]) }

// element begins at the i-th element; its offsets count from there.
func (b page) element(i int) page { return b[pageHeader+i*elementSize:] }

// keys gives the keys of a branch or leaf page, after a look that every key and value lies within the page and
// that the keys are in order.
func (b page) keys(low, high []byte) ([][]byte, error) {
	if pageHeader+b.count()*elementSize > len(b) {
		return nil, errors.New("has more elements than bytes")
	}
	keys := make([][]byte, b.count())
	for i := range keys {
		e := b.element(i)
		start, length, value := int64(native.Uint32(e)), int64(native.Uint32(e[4:])), int64(0)
		if b.flags() == leafPage {
			start, length, value = int64(native.Uint32(e[4:])), int64(native.Uint32(e[8:])), int64(native.Uint32(e[12:]))
		}
		if start+length+value > int64(len(e)) {
			return nil, fmt.Errorf("element %d points out of the page", i)
		}
		keys[i] = e[start : start+length]
		switch {
		case i == 0 && low != nil && bytes.Compare(keys[i], low) < 0,
			i > 0 && bytes.Compare(keys[i], keys[i-1]) <= 0,
			high != nil && bytes.Compare(keys[i], high) >= 0:
			return nil, fmt.Errorf("element %d is out of order", i)
		}
	}
	return keys, nil
}
