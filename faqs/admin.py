"""The knowledge in the admin: what stands where."""

from django.contrib import admin

from faqs.admin_categories import CategoryAdmin, FAQFeedbackAdmin
from faqs.admin_faqs import FAQAdmin
from faqs.admin_gaps import GapAdmin
from faqs.models import FAQ, Category, FAQFeedback, Gap

admin.site.register(FAQ, FAQAdmin)
admin.site.register(Category, CategoryAdmin)
admin.site.register(FAQFeedback, FAQFeedbackAdmin)
admin.site.register(Gap, GapAdmin)
