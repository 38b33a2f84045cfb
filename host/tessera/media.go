package tessera

import (
	"slices"
	"strings"
)

// unknownMedia is the type of files whose name tells nothing.
const unknownMedia = "application/octet-stream"

// mediaTypes is the fixed table of extensions, sorted; FORMAT.md lists it. It holds what people keep,
// and does not ask the system it runs on, so that the same folder gives the same list everywhere.
var mediaTypes = [...][2]string{
	{"3gp", "video/3gpp"},
	{"7z", "application/x-7z-compressed"},
	{"aac", "audio/aac"},
	{"ai", "application/postscript"},
	{"aif", "audio/aiff"},
	{"aiff", "audio/aiff"},
	{"amr", "audio/amr"},
	{"apng", "image/apng"},
	{"arw", "image/x-sony-arw"},
	{"avi", "video/x-msvideo"},
	{"avif", "image/avif"},
	{"bmp", "image/bmp"},
	{"bz2", "application/x-bzip2"},
	{"c", "text/x-c"},
	{"cr2", "image/x-canon-cr2"},
	{"cr3", "image/x-canon-cr3"},
	{"css", "text/css"},
	{"csv", "text/csv"},
	{"dng", "image/x-adobe-dng"},
	{"doc", "application/msword"},
	{"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	{"eml", "message/rfc822"},
	{"eps", "application/postscript"},
	{"epub", "application/epub+zip"},
	{"flac", "audio/flac"},
	{"gif", "image/gif"},
	{"go", "text/x-go"},
	{"gpx", "application/gpx+xml"},
	{"gz", "application/gzip"},
	{"heic", "image/heic"},
	{"heif", "image/heif"},
	{"htm", "text/html"},
	{"html", "text/html"},
	{"ics", "text/calendar"},
	{"jp2", "image/jp2"},
	{"jpe", "image/jpeg"},
	{"jpeg", "image/jpeg"},
	{"jpg", "image/jpeg"},
	{"js", "text/javascript"},
	{"json", "application/json"},
	{"jxl", "image/jxl"},
	{"kml", "application/vnd.google-earth.kml+xml"},
	{"log", "text/plain"},
	{"m4a", "audio/mp4"},
	{"m4v", "video/mp4"},
	{"markdown", "text/markdown"},
	{"mbox", "application/mbox"},
	{"md", "text/markdown"},
	{"mid", "audio/midi"},
	{"midi", "audio/midi"},
	{"mkv", "video/matroska"},
	{"mov", "video/quicktime"},
	{"mp3", "audio/mpeg"},
	{"mp4", "video/mp4"},
	{"mpeg", "video/mpeg"},
	{"mpg", "video/mpeg"},
	{"mts", "video/mp2t"},
	{"nef", "image/x-nikon-nef"},
	{"odp", "application/vnd.oasis.opendocument.presentation"},
	{"ods", "application/vnd.oasis.opendocument.spreadsheet"},
	{"odt", "application/vnd.oasis.opendocument.text"},
	{"oga", "audio/ogg"},
	{"ogg", "audio/ogg"},
	{"ogv", "video/ogg"},
	{"opus", "audio/ogg"},
	{"orf", "image/x-olympus-orf"},
	{"pdf", "application/pdf"},
	{"png", "image/png"},
	{"ppt", "application/vnd.ms-powerpoint"},
	{"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
	{"ps", "application/postscript"},
	{"psd", "image/vnd.adobe.photoshop"},
	{"py", "text/x-python"},
	{"raf", "image/x-fuji-raf"},
	{"rtf", "application/rtf"},
	{"rw2", "image/x-panasonic-rw2"},
	{"sqlite", "application/vnd.sqlite3"},
	{"srt", "application/x-subrip"},
	{"svg", "image/svg+xml"},
	{"tar", "application/x-tar"},
	{"tex", "text/x-tex"},
	{"text", "text/plain"},
	{"tif", "image/tiff"},
	{"tiff", "image/tiff"},
	{"toml", "application/toml"},
	{"ts", "video/mp2t"},
	{"tsv", "text/tab-separated-values"},
	{"txt", "text/plain"},
	{"vcf", "text/vcard"},
	{"vtt", "text/vtt"},
	{"wav", "audio/wav"},
	{"weba", "audio/webm"},
	{"webm", "video/webm"},
	{"webp", "image/webp"},
	{"wma", "audio/x-ms-wma"},
	{"wmv", "video/x-ms-wmv"},
	{"xls", "application/vnd.ms-excel"},
	{"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
	{"xml", "text/xml"},
	{"xz", "application/x-xz"},
	{"yaml", "application/yaml"},
	{"yml", "application/yaml"},
	{"zip", "application/zip"},
	{"zst", "application/zstd"},
}

// MediaType tells what kind of content a file of this path probably has: by the letters after the
// last dot of its name, whatever their case, from a fixed table, else application/octet-stream.
func MediaType(path string) string {
	_, name := splitPath(path)
	dot := strings.LastIndexByte(name, '.')
	if dot < 1 {
		return unknownMedia
	}
	i, found := slices.BinarySearchFunc(mediaTypes[:], lowerASCII(name[dot+1:]), func(row [2]string, ext string) int {
		return strings.Compare(row[0], ext)
	})
	if !found {
		return unknownMedia
	}
	return mediaTypes[i][1]
}

// lowerASCII leaves all but the letters A to Z alone.
func lowerASCII(s string) string {
	lower := []byte(s)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return string(lower)
}

// validMediaType tells whether s has the form of RFC 6838: type/subtype, no parameters.
func validMediaType(s string) bool {
	kind, sub, found := strings.Cut(s, "/")
	return found && validWord(kind) && validWord(sub)
}

func validWord(s string) bool {
	if s == "" || len(s) > 127 || !alphanumeric(s[0]) {
		return false
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && strings.IndexByte("!#$&-^_.+", s[i]) < 0 {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
