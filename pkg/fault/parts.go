package fault

import (
	"fmt"
	"reflect"
)

// Missing returns an error that names the first unset field of parts, a struct of the parts of
// something. Fields with the tag optional may be unset. Constructors call it, so that a guard
// cannot be forgotten.
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
