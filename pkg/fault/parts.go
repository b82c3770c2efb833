package fault

import (
	"fmt"
	"reflect"
)

// Missing returns an error that names the first field of parts, a struct of what
// something is made of, that nobody has set. What has the tag optional may be
// missing. It is for constructors: what guards must not be absent because
// somebody forgot it.
func Missing(parts any) error {
	v := reflect.ValueOf(parts)
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		if _, optional := field.Tag.Lookup("optional"); optional {
			continue
		}
		if value.IsZero() || value.Kind() == reflect.Interface && value.Elem().Kind() == reflect.Pointer && value.Elem().IsNil() {
			return fmt.Errorf("%s: %s is missing", v.Type(), field.Name)
		}
	}
	return nil
}
